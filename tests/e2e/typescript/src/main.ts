// Plays the scenario that the command line names. An expectation that is not met ends it with exit code 1.

import { ordinary } from "./ordinary.js";
import { away, broken, inFlight, limited } from "./trouble.js";

const scenarios = new Map([
  ["ordinary", ordinary],
  ["limited", limited],
  ["in-flight", inFlight],
  ["broken", broken],
  ["away", away],
]);

const scenario = scenarios.get(process.argv[2] ?? "");
if (scenario === undefined) {
  throw new Error(`Name one of these: ${[...scenarios.keys()].join(", ")}.`);
}
await scenario();
