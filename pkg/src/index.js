export { ago, check, checkAll, deadline, nextChange } from "./check.js";
export { serverClock } from "./clock.js";
export { policy } from "./policy.js";
export { watch } from "./watch.js";
