// Which tests have to notice a change, and in which order they are asked.

import { readdirSync } from "node:fs";
import { basename, join } from "node:path";

/** The modules of tests/store that test a file of src/store or src/service, where they are not the one with its name. */
const TESTED_BY = {
  alerts: ["monitor"],
  buckets: ["placement", "moving"],
  creations: ["reports", "charges", "retries", "lists"],
  dashboard: ["operators"],
  // Of the chat: tests/chat.rs.
  discord: [],
  slack: [],
  text: [],
  find: ["find", "shards"],
  mod: ["schema", "sweeps"],
  moves: ["moves", "moving"],
  notes: ["moves"],
  of_user: ["moves", "ledger"],
  open_moves: ["moves"],
  outline: ["explorer"],
  plan: ["move_plans"],
  retries: ["retry_many"],
  retry: ["retries"],
  rows: ["reports", "lists"],
  steps: ["sweeping", "sweeps"],
  sweep: ["sweeping", "sweeps"],
  together: ["shards"],
  typed: ["extensions"],
  walk: ["moves", "moving"],
};

/** Where it is not built here: every test in tests/worker goes through it. */
const NOT_BUILT = ["src/store/d1.rs"];

const testedBy = (file) => TESTED_BY[basename(file, ".rs")] ?? [basename(file, ".rs")];

/** They take nine tenths of the time: a second and more each, the others together as long as one of them. */
const SLOW = [
  "archive::whatever_happens_no_creation_and_no_token_is_lost",
  "charges::a_planted_bug_is_found",
  "charges::of_each_charge_what_was_used_and_what_came_back_are_what_was_charged",
  "charges::the_steps_meet_what_they_are_there_for",
  "compaction::a_run_is_bounded_and_goes_on_by_its_key",
  "compaction::entries_with_long_ids_are_summed_up_in_parts_that_the_database_takes",
  "compaction::whoever_dies_at_any_call_and_whoever_acts_in_between_the_sums_are_right",
  "import::a_creation_that_ends_in_the_old_system_ends_here_too",
  "interleavings::of_any_two_writers_the_second_one_does_its_own_or_nothing",
  "money::what_moved_on_meanwhile_is_left_alone",
  "moves::a_target_with_a_large_ledger_is_compared_slice_by_slice",
  "moves::a_thousand_creations_take_a_few_queries",
  "moves::no_creation_that_the_api_can_make_is_too_long_to_move",
  "moves::what_is_cancelled_is_as_before",
  "moves::whatever_a_row_holds_it_arrives_as_it_was",
  "moving::a_mover_that_dies_at_any_call_is_cancelled_by_another_one",
  "moving::a_mover_that_dies_at_any_call_is_gone_on_with_and_nobody_loses_a_token",
  "moving::a_planted_bug_is_found",
  "moving::one_who_cancels_and_one_who_moves_do_no_harm",
  "moving::two_movers_at_once_do_no_harm",
  "operators::sums_that_no_double_holds_stop_no_page",
  "retries::a_sweep_whose_answers_are_lost_counts_and_rolls_up_once_and_calls_nothing_raced",
  "shards::however_few_are_counted_the_verdict_is_that_of_all",
  "sweeping::rejected_rows_that_have_something_in_common_are_told_from_the_others_in_a_few_invocations",
  "sweeping::the_longest_names_and_reasons_fit_into_the_databases_strings",
];

/**
 * Each part: the folders whose code is changed, how it is built, and its stages. A stage has a title and gives the programs to run for a
 * file: the name of a test, its arguments and its environment. What takes longer than its minutes never ends. A mutant survives only if all
 * stages pass, and together they are all tests of the part: what a later stage leaves out, an earlier one has run.
 */
export const PARTS = {
  rules: {
    folders: ["src/rules"],
    // No feature, so no more than the rules is compiled again.
    build: ["--no-default-features"],
    stages: [
      { title: "examples", minutes: 1, programs: () => ["rules", "entries", "evidence", "diagnosis", "judgements", "placement"].map((test) => ({ test })) },
      { title: "properties, 16 inputs", minutes: 1, programs: () => [{ test: "properties", env: { PROPTEST_CASES: "16" } }] },
      { title: "properties, all inputs", minutes: 5, programs: () => [{ test: "properties" }] },
    ],
  },
  store: {
    folders: ["src/store", "src/service"],
    build: [],
    // Without the simulator: it would double the time, and each statement has a test of its own.
    stages: [
      { title: "quick tests of the file", minutes: 1, programs: (file) => filtered(testedBy(file).map((name) => `${name}::`), QUICK) },
      { title: "slow tests of the file", minutes: 5, programs: (file) => each(slowOf(file)) },
      { title: "quick tests", minutes: 5, programs: () => [{ test: "store", args: QUICK }, { test: "chat" }] },
      { title: "slow tests", minutes: 5, programs: (file) => each(SLOW.filter((name) => !slowOf(file).includes(name))) },
    ],
  },
};

const QUICK = SLOW.flatMap((name) => ["--skip", name]);
const slowOf = (file) => SLOW.filter((name) => testedBy(file).includes(name.split("::")[0]));
/** One by one, for a program runs all that it is asked for, whatever fails. */
const each = (names) => names.map((name) => ({ test: "store", args: [name] }));
const filtered = (names, args = []) => (names.length > 0 ? [{ test: "store", args: [...names, ...args] }] : []);

/** The files of a part. */
export function sources(root, part) {
  const below = (folder) => readdirSync(join(root, folder), { recursive: true }).map((file) => join(folder, String(file)).replaceAll("\\", "/"));
  return PARTS[part].folders.flatMap(below).filter((file) => file.endsWith(".rs") && !NOT_BUILT.includes(file));
}

/** What is written above and is not there any more. */
export function misnamed(root) {
  const modules = readdirSync(join(root, "tests/store")).map((file) => basename(file, ".rs"));
  return sources(root, "store").flatMap((file) => testedBy(file).filter((name) => !modules.includes(name)).map((name) => `\`${name}\` of ${file}`));
}
