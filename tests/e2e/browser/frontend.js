// Opens the page of tests/e2e/better-auth/, has it play a scenario, and prints what the page could see as JSON.

import { chromium } from "playwright-core";

const { API_URL, CHROMIUM, PAGE_URL, SCENARIO, TOKEN } = process.env;

const browser = await chromium.launch({ executablePath: CHROMIUM, args: ["--no-sandbox", "--disable-background-networking"] });
try {
  const page = await browser.newPage();
  await page.addInitScript((url) => void (window.API_URL = url), API_URL); // what a build would have put into the page
  await page.goto(PAGE_URL);
  const seen = await page.evaluate(([name, ...known]) => window.scenarios[name](...known), [SCENARIO, API_URL, TOKEN]);
  console.log(JSON.stringify(seen));
} finally {
  await browser.close();
}
