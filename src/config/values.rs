use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Unexpected, Visitor};

use crate::read::{Address, Text, Whole, is_language_tag, parsed};
use crate::rules::CircuitBreaker;

/// The address of a server. It is reached over TLS, or on this machine, for tests.
#[derive(Debug)]
pub(super) struct Url(pub(super) String);

impl<'de> Deserialize<'de> for Url {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        parsed(deserializer, "an `https://` URL", |text| {
            Address::of_server(text).map(|_| Url(text.to_owned()))
        })
    }
}

/// Where a Worker is reached: the address of a server, with a path or without, and nothing that a link can't hold as it is.
#[derive(Debug)]
pub(super) struct PublicUrl(pub(super) String);

impl<'de> Deserialize<'de> for PublicUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        parsed(
            deserializer,
            "an `https://` URL without `?` and `#`, such as `https://drafts.example`",
            |text| {
                let odd = |byte: u8| b"?#<>|\"'`()".contains(&byte);
                let valid = Address::of_server(text).is_some() && !text.bytes().any(odd) && text.len() <= 500;
                valid.then(|| PublicUrl(text.to_owned()))
            },
        )
    }
}

/// The host of an address, with its port.
fn host(text: &str) -> Option<&str> {
    Some(Address::of_server(text)?.host)
}

/// A name, issuer or audience. With white space around it, it would never be equal to any.
#[derive(Debug)]
pub(super) struct Name(pub(super) String);

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = Text::<1_000>::deserialize(deserializer)?.into_string();
        if name.trim() == name && !name.contains(char::is_control) {
            return Ok(Name(name));
        }
        Err(D::Error::invalid_value(Unexpected::Str(&name), &"text without white space around it"))
    }
}

impl Name {
    /// Whether it is an origin as browsers send it: an address without a path, and without the port that goes without saying.
    pub(super) fn is_origin(&self) -> bool {
        let usual = |host: &str| host.ends_with(":443") || host.bytes().any(|byte| byte.is_ascii_uppercase());
        self.0.starts_with("http") && host(&self.0).is_some_and(|host| self.0.ends_with(host) && !usual(host))
    }

    /// Whether it is an email.
    pub(super) fn is_email(&self) -> bool {
        self.0.contains('@') && !self.0.contains('*')
    }

    /// Whether it is the subject of a caller, or with `*` at its end what several begin with.
    pub(super) fn is_subject(&self) -> bool {
        let start = self.0.strip_suffix('*');
        // What stands for everybody is said by `anyone`.
        start.is_none_or(|start| start.bytes().any(|byte| byte.is_ascii_alphanumeric()))
            && !start.unwrap_or(&self.0).contains('*')
    }

    /// Whether it is a whole subject, or what stands before its `*` ends behind an owner: `repo:` would stand for everybody's, and
    /// `repo:my-org` for those of `my-org-of-somebody-else` too.
    pub(super) fn is_subject_of_an_owner(&self) -> bool {
        self.0.strip_suffix('*').is_none_or(|start| start.matches([':', '/']).count() >= 2)
    }

    /// Whether it can be the name of a cookie: <https://www.rfc-editor.org/rfc/rfc6265#section-4.1.1>.
    pub(super) fn is_token(&self) -> bool {
        self.0.bytes().all(|byte| byte.is_ascii_graphic() && !b"()<>@,;:\\\"/[]?={}".contains(&byte))
    }
}

/// Whether it can be a part of a host's name.
pub(super) fn is_label(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    (1..=63).contains(&text.len())
        && text.bytes().all(inner)
        && !text.starts_with('-')
        && !text.ends_with('-')
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

/// The tag of a language.
#[derive(Debug)]
pub(super) struct LanguageTag(pub(super) String);

impl<'de> Deserialize<'de> for LanguageTag {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        parsed(deserializer, "the tag of a language, such as `de` or `pt-BR`", |text| {
            is_language_tag(text).then(|| LanguageTag(text.to_owned()))
        })
    }
}

/// The name of a team at Cloudflare Access.
#[derive(Debug)]
pub(super) struct Team(pub(super) String);

impl<'de> Deserialize<'de> for Team {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        parsed(deserializer, "the team's name, as in `<team>.cloudflareaccess.com`", |text| {
            // Tokens name it in small letters.
            is_label(text).then(|| Team(text.to_ascii_lowercase()))
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
