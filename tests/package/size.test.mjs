// What the package may weigh, min + gzip: upper bounds only. A change that needs more says so here.

import assert from "node:assert/strict";
import { test } from "node:test";
import { IMPORTS, size } from "../../scripts/package-size.mjs";

// The plan was 3,000 for `check` and 7,500 for everything. `check` needs 1,100 more. Its words are 700 bytes, and the
// rules themselves 1,900: with an answer of named fields, the instant at which
// it changes, a limit on the total time, retries, and a clock with an error.
// The rest reads times, and refuses a wrong `now`; the element and the clocks also know sleep, and a server's `now`.
// With the rules of several databases the compiler puts the same exports together otherwise, by up to 28 bytes.
// `cancel` of a policy needs 220: its words, its message, and its name in two others. The client and the list retry and cancel, for 120.
// More time, which an operator gives, takes 170 of each: one more time, and the deadline that it puts off. The limit per owner takes 90 of
// the policy, which has to understand it.
// The client has the rules of a policy too, which comes with the server's answers: without them it would be 2,700 less.
// The codes and parameters of messages, and the way to another language, are 330 to 400 of each. What speaks one, and each language,
// is only there where it is imported. It writes dates, times and months, for 140. Half of a language is what the owner's pages, the ledger and
// refusals say.
// Where a grant's tokens came from is said in a sentence, for 40 of each language.
// What a creation comes to, and that a charge was kept or used up, are 70 of each language.
// Each is what was measured with all of that together, and 1 % for another compiler.
const BUDGET = { check: 4_730, "check and policy": 7_850, "everything but policy": 5_270, everything: 8_440, element: 6_570, client: 9_970, "one draft in React": 5_700, "a list in React": 10_980, texts: 770, "a language that ships": 2_630 };

for (const [name, budget] of Object.entries(BUDGET)) {
  test(`${name}: at most ${budget.toLocaleString("en")} bytes, min + gzip`, async () => {
    const bytes = await size(IMPORTS[name]);
    assert.ok(bytes <= budget, `${bytes} bytes`);
  });
}
