use hmac::{Hmac, KeyInit as _, Mac as _};
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

/// What a form of the dashboard carries, so that no other site can send it: it is bound to the credential, which no other
/// site knows, and does not give it away. 32 hexadecimal digits.
pub fn csrf(credential: &str) -> String {
    // HMAC takes a key of any length.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(credential.as_bytes()) else { return String::new() };
    mac.update(b"stale-drafts csrf");
    mac.finalize().into_bytes().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

/// Whether a form carries what [`csrf`] gave, compared in constant time.
pub fn csrf_matches(credential: &str, presented: &str) -> bool {
    let expected = csrf(credential);
    !expected.is_empty() && bool::from(expected.as_bytes().ct_eq(presented.as_bytes()))
}
