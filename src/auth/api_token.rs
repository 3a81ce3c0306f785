use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use subtle::{Choice, ConditionallySelectable as _, ConstantTimeEq as _};

/// What a credential allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// To see creations, sweeps, the ledger and the diagnosis of every user.
    Read,
    /// To sweep.
    Sweep,
    /// To report what workers do.
    Report,
    /// To grant tokens to users.
    Grant,
}

impl Scope {
    /// All of them.
    pub const ALL: [Scope; 4] = [Scope::Read, Scope::Sweep, Scope::Report, Scope::Grant];

    /// The word in the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Scope::Read => "read",
            Scope::Sweep => "sweep",
            Scope::Report => "report",
            Scope::Grant => "grant",
        }
    }
}

/// A credential for operators and schedulers: a random token of which only the hash is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiToken {
    /// What the audit calls it.
    pub name: String,
    /// SHA-256 of the token.
    pub sha256: [u8; 32],
    /// What it allows.
    pub scopes: Vec<Scope>,
}

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
