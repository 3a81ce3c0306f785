//! Every input of the corpus, and some thousands made from them by a generator with a seed: the same on every machine.

use std::fs;
use std::path::{Path, PathBuf};

use stale_drafts_fuzz::{TARGETS, Target};

/// How many inputs are made for each target; `FUZZ_MUTATIONS` asks for another number.
const MUTATIONS: usize = 3_000;
const LONGEST: usize = 2_000;

fn folder() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn corpus(name: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = folder().join("corpus").join(name);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<_> = entries.map(|entry| entry.expect("it can be read").path()).collect();
    files.sort();
    files.into_iter().map(|path| (path.clone(), fs::read(&path).expect("it can be read"))).collect()
}

/// Says which input broke a law, and keeps it where `cargo fuzz` would.
struct Running<'a> {
    target: &'a str,
    input: &'a [u8],
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let folder = folder().join("artifacts").join(self.target);
            let path = folder.join("from-the-tests");
            let kept = fs::create_dir_all(&folder).and_then(|()| fs::write(&path, self.input));
            let input: String = String::from_utf8_lossy(self.input).chars().take(500).collect();
            eprintln!("{}, {} bytes, kept: {kept:?}\n{input:?}", path.display(), self.input.len());
        }
    }
}

fn run((name, holds): Target, input: &[u8]) {
    let _running = Running { target: name, input };
    holds(input);
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % end.max(1) as u64).expect("it is below `end`")
    }

    /// A range within `length`, mostly a short one.
    fn range(&mut self, length: usize) -> std::ops::Range<usize> {
        let start = self.below(length + 1);
        let longest = if self.below(4) == 0 { length } else { 8 };
        start..(start + self.below(longest + 1)).min(length)
    }
}

/// What tends to break things.
const PIECES: [&[u8]; 24] = [
    b"null",
    b"{}",
    b"[]",
    b"\"\"",
    b"-1",
    b"0",
    b"1e309",
    b"9007199254740993",
    b"18446744073709551616",
    b"0.5",
    b"\\u0000",
    b"\\ud800",
    b"\n",
    b"\r",
    b"\x1b[2J",
    b"\xc2\x9b",
    b"\xe2\x80\xae",
    b"\xff",
    b"<script>",
    b"\"",
    b"'",
    b"&amp;",
    b".",
    b"\xf0\x9f\xa6\x8a",
];

fn mutate(random: &mut Random, files: &[(PathBuf, Vec<u8>)]) -> Vec<u8> {
    let mut input = files[random.below(files.len())].1.clone();
    for _ in 0..=random.below(4) {
        let range = random.range(input.len());
        let new = match random.below(5) {
            0 => Vec::new(),
            1 => PIECES[random.below(PIECES.len())].to_vec(),
            2 => vec![u8::try_from(random.below(256)).expect("it is a byte")],
            3 => input[range.clone()].repeat(2),
            _ => {
                let other = &files[random.below(files.len())].1;
                other[random.range(other.len())].to_vec()
            }
        };
        input.splice(range, new);
    }
    input.truncate(LONGEST);
    input
}

#[test]
fn every_input_of_the_corpus_keeps_the_laws() {
    for target in TARGETS {
        let files = corpus(target.0);
        assert!(files.len() >= 10, "`{}` has {} inputs", target.0, files.len());
        files.iter().for_each(|(_, input)| run(target, input));
    }
}

#[test]
fn inputs_made_from_them_keep_the_laws() {
    let mutations = std::env::var("FUZZ_MUTATIONS").ok().and_then(|number| number.parse().ok());
    for target in TARGETS {
        let files = corpus(target.0);
        let mut random = Random(1);
        for _ in 0..mutations.unwrap_or(MUTATIONS) {
            run(target, &mutate(&mut random, &files));
        }
    }
}

#[test]
fn each_target_is_built_and_has_a_corpus() {
    let names: Vec<_> = TARGETS.map(|(name, _)| name.to_owned()).into();
    for (below, end) in [("corpus", ""), ("fuzz_targets", ".rs")] {
        let entries = fs::read_dir(folder().join(below)).expect("it is there");
        let mut found: Vec<_> = entries
            .map(|entry| entry.expect("it can be read").file_name().into_string().expect("it is text"))
            .map(|name| name.strip_suffix(end).expect("it ends so").to_owned())
            .collect();
        found.sort();
        let mut expected = names.clone();
        expected.sort();
        assert_eq!(found, expected, "{below}");
    }
}
