use sha2::{Digest, Sha256};
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};

use crate::config::ApiToken;

/// The token that was presented, among those that are configured. Every one is compared, in constant time, whichever
/// matches.
pub fn find<'a>(tokens: &'a [ApiToken], presented: &str) -> Option<&'a ApiToken> {
    let hash = Sha256::digest(presented);
    let mut place = u32::MAX;
    for (token, at) in tokens.iter().zip(0_u32..) {
        let equal: Choice = token.sha256.as_slice().ct_eq(hash.as_slice());
        place.conditional_assign(&at, equal);
    }
    tokens.get(usize::try_from(place).ok()?)
}
