use oorandom::Rand64;

/// The random numbers of a seed. The algorithm, PCG, is fixed, so a seed means the same on every machine and for ever.
pub struct Random(Rand64);

impl Random {
    /// Those of `seed`.
    pub fn new(seed: u64) -> Self {
        // Spread out, so that neighbouring seeds have nothing in common.
        Random(Rand64::new(u128::from(seed).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835)))
    }

    /// A number below `bound`; 0 if that is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        if bound == 0 { 0 } else { self.0.rand_range(0..bound) }
    }

    /// The same for a place in a list.
    pub fn place(&mut self, length: usize) -> usize {
        // The number is below `length`, so the cast back is exact.
        self.below(length as u64) as usize
    }

    /// True in so many of a hundred cases.
    pub fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// One of `list`.
    pub fn pick<T: Copy, const N: usize>(&mut self, list: [T; N]) -> T {
        const { assert!(N > 0) };
        let at = self.place(N);
        #[expect(clippy::indexing_slicing, reason = "the list is not empty, and `at` is below its length")]
        list[at]
    }
}
