// Opens /docs, authorizes with a pasted token, creates a task, and prints what came of it as JSON.

import { chromium } from "playwright-core";

const { API_URL, CHROMIUM, TOKEN } = process.env;
const seen = { complaints: [], elsewhere: [], operations: 0, status: "" };

const browser = await chromium.launch({ executablePath: CHROMIUM, args: ["--no-sandbox", "--disable-background-networking"] });
try {
  const page = await browser.newPage();
  page.on("console", (message) => ["error", "warning"].includes(message.type()) && seen.complaints.push(message.text()));
  page.on("pageerror", (error) => seen.complaints.push(error.message));
  page.on("request", (request) => {
    if (!request.url().startsWith(`${API_URL}/`) && !request.url().startsWith("data:")) seen.elsewhere.push(request.url());
  });

  await page.goto(`${API_URL}/docs`);
  await page.waitForSelector(".opblock");
  seen.operations = await page.locator(".opblock").count();
  await page.locator(".auth-wrapper button.authorize").click();
  await page.locator(".auth-container input").fill(TOKEN);
  await page.locator(".auth-btn-wrapper button.authorize").click();
  await page.locator(".auth-btn-wrapper button.btn-done").click();

  const create = page.locator("#operations-tasks-createTask");
  await create.locator(".opblock-summary-control").click();
  await create.locator(".try-out__btn").click();
  await create.locator("textarea.body-param__text").fill('{"title": "From the docs"}');
  await create.locator("button.execute").click();
  seen.status = await create.locator(".live-responses-table tbody .response-col_status").first().innerText();
} finally {
  await browser.close();
}
console.log(JSON.stringify(seen));
