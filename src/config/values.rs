use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Unexpected, Visitor};

use crate::read::{Whole, parsed};
use crate::rules::CircuitBreaker;

/// The address of a server. It is reached over TLS, or on this machine, for tests.
#[derive(Debug)]
pub(super) struct Url(pub(super) String);

impl<'de> Deserialize<'de> for Url {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        parsed(deserializer, "an `https://` URL", |text| is_url(text).then(|| Url(text.to_owned())))
    }
}

fn is_url(text: &str) -> bool {
    // A port, and then the path: what has an `@` there is another host's.
    let port = |rest: &str| {
        let port = rest.split('/').next().unwrap_or_default();
        !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit())
    };
    let local = ["http://localhost:", "http://127.0.0.1:"]
        .iter()
        .any(|start| text.strip_prefix(start).is_some_and(port));
    let host = text.strip_prefix("https://").and_then(|rest| rest.split(['/', '?', '#']).next());
    (local || host.is_some_and(|host| !host.is_empty())) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// The hash of an API token.
#[derive(Debug)]
pub(super) struct Sha256(pub(super) [u8; 32]);

impl<'de> Deserialize<'de> for Sha256 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        parsed(deserializer, "64 hexadecimal digits, as `mark-stale-drafts token` prints", |text| {
            let mut hash = [0; 32];
            hex::decode_to_slice(text, &mut hash).ok().map(|()| Sha256(hash))
        })
    }
}

/// The name of a team at Cloudflare Access.
#[derive(Debug)]
pub(super) struct Team(pub(super) String);

impl<'de> Deserialize<'de> for Team {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        parsed(deserializer, "the team's name, as in `<team>.cloudflareaccess.com`", |text| {
            let label = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
            (!text.is_empty() && text.bytes().all(label)).then(|| Team(text.to_owned()))
        })
    }
}

/// `"off"` or the bounds of the circuit breaker.
#[derive(Debug)]
pub(super) struct Breaker(pub(super) Option<CircuitBreaker>);

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Bounds {
    creations: Option<Whole<1, 1_000>>,
    percent: Option<Whole<1, 100>>,
    at_least: Option<Whole<1, 1_000>>,
}

impl<'de> Deserialize<'de> for Breaker {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(BreakerVisitor)
    }
}

struct BreakerVisitor;

impl<'de> Visitor<'de> for BreakerVisitor {
    type Value = Breaker;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("`\"off\"` or a table such as `{ creations = 1000, percent = 50 }`")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Breaker, E> {
        if text == "off" { Ok(Breaker(None)) } else { Err(E::invalid_value(Unexpected::Str(text), &self)) }
    }

    fn visit_map<A: MapAccess<'de>>(self, table: A) -> Result<Breaker, A::Error> {
        let bounds = Bounds::deserialize(MapAccessDeserializer::new(table))?;
        let default = CircuitBreaker::default();
        Ok(Breaker(Some(CircuitBreaker {
            creations: bounds.creations.map_or(default.creations, Whole::get_u32),
            percent: bounds.percent.map_or(default.percent, Whole::get_u32),
            at_least: bounds.at_least.map_or(default.at_least, Whole::get_u32),
        })))
    }
}
