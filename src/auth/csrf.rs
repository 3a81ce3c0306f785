use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

/// What a form of the dashboard carries, so that no other site can send it: it is bound to the credential, which no other
/// site knows, and does not reveal it. 32 hexadecimal digits.
pub fn csrf(credential: &str) -> String {
    // HMAC takes a key of any length.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(credential.as_bytes()) else { return String::new() };
    mac.update(b"stale-drafts csrf");
    let mut digits = hex::encode(mac.finalize().into_bytes());
    digits.truncate(32);
    digits
}

/// Whether a form carries what [`csrf`] gave, compared in constant time.
pub fn csrf_matches(credential: &str, presented: &str) -> bool {
    let expected = csrf(credential);
    !expected.is_empty() && bool::from(expected.as_bytes().ct_eq(presented.as_bytes()))
}
