use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::jwt::TokenError;
use super::{AuthConfig, Caller, Callers, Issuer};
use crate::read;
use crate::rules::Timestamp;

/// How far the clocks of the issuer and of this machine may be apart, in seconds.
const LEEWAY_SECONDS: f64 = 60.0;

/// What a token says of its bearer. It proves nothing before the signature is verified.
#[derive(Debug, Deserialize)]
pub(super) struct Claims {
    sub: Option<String>,
    exp: Option<f64>,
    nbf: Option<f64>,
    pub(super) iss: Option<String>,
    aud: Option<Audience>,
    email: Option<String>,
    /// Some issuers write it as text, which counts as no.
    #[serde(default)]
    email_verified: Value,
    /// The name of a Cloudflare Access service token, whose `sub` is empty.
    #[serde(default)]
    common_name: Value,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

impl Audience {
    fn holds(&self, audience: &str) -> bool {
        match self {
            Audience::One(one) => one == audience,
            Audience::Many(many) => many.iter().any(|one| one == audience),
        }
    }
}

/// Reads a part of a token: a JSON object in base64url, without a claim that stands in it twice.
pub(super) fn part<T: DeserializeOwned>(encoded: &str) -> Result<T, TokenError> {
    let json = URL_SAFE_NO_PAD.decode(encoded).map_err(|_| TokenError::Malformed)?;
    read::json(&json).map_err(|_| TokenError::Malformed)
}

impl Claims {
    /// The user whom the token is for.
    pub(super) fn user(self, config: &AuthConfig, now: Timestamp) -> Result<String, TokenError> {
        self.check(config.issuer.as_deref(), config.audience.as_deref(), now)?;
        self.sub.filter(|sub| !sub.is_empty()).ok_or(TokenError::Subject)
    }

    /// The caller, by the issuer's name and the email, `sub` or, for a service token of Cloudflare Access, `common_name`.
    pub(super) fn caller(mut self, issuer: &Issuer, now: Timestamp) -> Result<Caller, TokenError> {
        self.check(Some(&issuer.issuer), Some(&issuer.audience), now)?;
        let empty = |name: &Option<String>| name.as_ref().is_none_or(String::is_empty);
        let service = issuer.access && empty(&self.email) && empty(&self.sub);
        if service {
            self.sub = self.common_name.as_str().map(str::to_owned);
        }
        self.is_one_of(&issuer.callers)?;
        let names = [self.email, self.sub].into_iter().flatten();
        let who = names.into_iter().find(|name| !name.is_empty()).ok_or(TokenError::Subject)?;
        Ok(Caller { name: format!("{}:{who}", issuer.name), service })
    }

    /// The times, with leeway, and for whom by whom the token is.
    fn check(&self, issuer: Option<&str>, audience: Option<&str>, now: Timestamp) -> Result<(), TokenError> {
        let now = now.as_millis() as f64 / 1_000.0;
        if !self.exp.is_some_and(|exp| now < exp + LEEWAY_SECONDS) {
            return Err(TokenError::Expired);
        }
        if self.nbf.is_some_and(|nbf| now < nbf - LEEWAY_SECONDS) {
            return Err(TokenError::NotYetValid);
        }
        if issuer.is_some() && issuer != self.iss.as_deref() {
            return Err(TokenError::Issuer);
        }
        match audience {
            Some(audience) if !self.aud.as_ref().is_some_and(|aud| aud.holds(audience)) => {
                Err(TokenError::Audience)
            }
            _ => Ok(()),
        }
    }

    fn is_one_of(&self, callers: &Callers) -> Result<(), TokenError> {
        let Callers::Only { emails, email_verified, subjects } = callers else { return Ok(()) };
        if self.sub.as_deref().is_some_and(|sub| subjects.iter().any(|known| covers(known, sub))) {
            return Ok(());
        }
        let email = self.email.as_deref().unwrap_or_default();
        if !emails.iter().any(|known| known.eq_ignore_ascii_case(email)) {
            return Err(TokenError::Caller);
        }
        if *email_verified && self.email_verified != Value::Bool(true) {
            return Err(TokenError::EmailUnverified);
        }
        Ok(())
    }
}

/// Whether a configured subject stands for this one.
fn covers(known: &str, subject: &str) -> bool {
    match known.strip_suffix('*') {
        Some(start) => subject.starts_with(start),
        None => subject == known,
    }
}
