use std::time::Duration;

use serde_json::Value;
use ureq::http::{Response, StatusCode};
use ureq::{Agent, Body};

use crate::exit::{Code, Failure};
use crate::plain::one_line;

/// The Worker's API.
pub struct Api {
    agent: Agent,
    url: String,
    token: String,
}

impl Api {
    pub fn new(url: String, token: String) -> Self {
        let config = Agent::config_builder()
            .timeout_global(Some(Duration::from_secs(60)))
            .http_status_as_error(false)
            // A token goes to the address that it is meant for, and nowhere else.
            .max_redirects(0)
            .user_agent(concat!("mark-stale-drafts/", env!("CARGO_PKG_VERSION")))
            .build();
        Api { agent: config.into(), url, token }
    }

    /// Asks; an answer that is no success is a failure with the Worker's own words.
    pub fn get(&self, path: &str, query: &[(&str, &str)]) -> Result<Value, Failure> {
        let request = self.agent.get(self.address(path)).query_pairs(query.iter().copied());
        self.answer(path, request.header("Authorization", format!("Bearer {}", self.token)).call())
    }

    /// Asks without the credential, and takes any answer: `/readyz` says what is wrong with status 503.
    pub fn probe(&self, path: &str) -> Option<Value> {
        let mut response = self.agent.get(self.address(path)).call().ok()?;
        serde_json::from_str(&response.body_mut().read_to_string().ok()?).ok()
    }

    /// Sweeps: `body` is a plan, or empty.
    pub fn sweep(&self, query: &[(&str, &str)], body: &str) -> Result<Value, Failure> {
        self.send("/api/generate/cleanup-stale", query, body)
    }

    /// Does something: `body` says what.
    pub fn post(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        self.send(path, &[], &body.to_string())
    }

    fn send(&self, path: &str, query: &[(&str, &str)], body: &str) -> Result<Value, Failure> {
        let request = self.agent.post(self.address(path)).query_pairs(query.iter().copied());
        let request = request.header("Authorization", format!("Bearer {}", self.token));
        self.answer(path, request.header("Content-Type", "application/json").send(body))
    }

    fn address(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    fn answer(&self, path: &str, response: Result<Response<Body>, ureq::Error>) -> Result<Value, Failure> {
        let url = &self.url;
        let mut response = response.map_err(|error| {
            let local = if url.contains("//localhost") { " Is `npm start` running?" } else { "" };
            Failure::new(Code::Unreachable, format!("`{url}` can't be reached ({error}).{local}"))
        })?;
        let status = response.status();
        // 20 MB: the largest dry run is a tenth of it.
        let text = response.body_mut().with_config().limit(20_000_000).read_to_string();
        let text = text.map_err(|error| {
            Failure::new(Code::Unreachable, format!("`{url}` stopped answering ({error})"))
        })?;
        let body: Option<Value> = serde_json::from_str(&text).ok();
        let said = body.as_ref().and_then(|body| body.get("error")).and_then(Value::as_str).map(one_line);
        match (status, body.as_ref(), said.as_deref()) {
            (StatusCode::OK, Some(_), None) => Ok(body.unwrap_or_default()),
            (StatusCode::UNAUTHORIZED, ..) => Err(Failure::new(
                Code::Refused,
                format!(
                    "`{url}` refused the token. Its log names the reason; tokens come from --token-file, MARK_STALE_DRAFTS_TOKEN or the configuration file."
                ),
            )),
            (StatusCode::FORBIDDEN, _, Some(said)) => {
                Err(Failure::new(Code::Refused, format!("`{url}` refused: {said}")))
            }
            (StatusCode::BAD_REQUEST | StatusCode::NOT_FOUND, _, Some(said)) => {
                Err(Failure::new(Code::BadInput, said))
            }
            // The rules refuse it, or the balance does not cover it.
            (StatusCode::CONFLICT | StatusCode::PAYMENT_REQUIRED, Some(body), Some(said)) => {
                let amount = |key| body.get(key).and_then(Value::as_u64);
                let money = match (amount("tokens"), amount("balance")) {
                    (Some(tokens), Some(balance)) => {
                        format!(" (it costs {tokens}, the balance is {balance})")
                    }
                    _ => String::new(),
                };
                Err(Failure::new(Code::Failed, format!("{said}{money}")))
            }
            (_, _, Some(said)) => {
                Err(Failure::new(Code::Failed, format!("`{url}` answered {}: {said}", status.as_u16())))
            }
            _ => Err(Failure::new(
                Code::Unreachable,
                format!(
                    "`{url}{path}` answered {} and no JSON: is this the Worker's address?",
                    status.as_u16()
                ),
            )),
        }
    }
}

/// Text as a part of a path: everything but letters and digits as its bytes.
pub fn part(text: &str) -> String {
    let encode = |byte: u8| match byte {
        byte if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    };
    text.bytes().map(encode).collect()
}
