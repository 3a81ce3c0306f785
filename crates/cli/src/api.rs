use std::time::Duration;

use serde_json::Value;
use ureq::http::{Response, StatusCode};
use ureq::{Agent, Body};

use crate::exit::{Code, Error};
use crate::format::{list, one_line};
use crate::output::note;

/// How long it is waited before a request is repeated, each time, in seconds.
const PAUSES: [u64; 4] = [1, 2, 4, 8];

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
            // The token must not follow a redirect to another address.
            .max_redirects(0)
            .user_agent(concat!("mark-stale-drafts/", env!("CARGO_PKG_VERSION")))
            .build();
        Api { agent: config.into(), url, token }
    }

    /// Sends a GET. An answer other than 200 or 201 is an error with the Worker's own text.
    pub fn get(&self, path: &str, query: &[(&str, &str)]) -> Result<Value, Error> {
        let request = self.agent.get(self.address(path)).query_pairs(query.iter().copied());
        self.answer(path, request.header("Authorization", format!("Bearer {}", self.token)).call())
    }

    /// Sends a GET without the credential and takes any answer: `/readyz` says what is wrong with status 503.
    pub fn probe(&self, path: &str) -> Option<Value> {
        let mut response = self.agent.get(self.address(path)).call().ok()?;
        serde_json::from_str(&response.body_mut().read_to_string().ok()?).ok()
    }

    /// Sweeps: `body` is a plan, or empty.
    pub fn sweep(&self, query: &[(&str, &str)], body: &str) -> Result<Value, Error> {
        self.send("/api/generate/cleanup-stale", query, body)
    }

    /// All about a creation; `user` says whose, where several users have one with this id.
    pub fn creation(&self, id: &str, user: Option<&str>) -> Result<Value, Error> {
        self.get(&format!("/api/creations/{}", segment(id)), &of(user)).map_err(whose)
    }

    /// Does something with a creation; `user` says whose, where several users have one with this id.
    pub fn act(&self, id: &str, user: Option<&str>, action: &str, body: &Value) -> Result<Value, Error> {
        let path = format!("/api/creations/{}/{action}", segment(id));
        self.send(&path, &of(user), &body.to_string()).map_err(whose)
    }

    /// Sends a POST.
    pub fn post(&self, path: &str, body: &Value) -> Result<Value, Error> {
        self.send(path, &[], &body.to_string())
    }

    /// The same where the request may be repeated: it is, if the connection breaks, or the Worker is away for some seconds.
    pub fn post_again(&self, path: &str, body: &Value) -> Result<Value, Error> {
        for pause in PAUSES {
            match self.post(path, body) {
                Err(Error { code: Code::Unreachable, message, .. }) => {
                    note(format!("{message} It is asked again in {pause} s."));
                    std::thread::sleep(Duration::from_secs(pause));
                }
                answer => return answer,
            }
        }
        self.post(path, body)
    }

    /// Sends a DELETE.
    pub fn delete(&self, path: &str, query: &[(&str, &str)]) -> Result<Value, Error> {
        let request = self.agent.delete(self.address(path)).query_pairs(query.iter().copied());
        self.answer(path, request.header("Authorization", format!("Bearer {}", self.token)).call())
    }

    fn send(&self, path: &str, query: &[(&str, &str)], body: &str) -> Result<Value, Error> {
        let request = self.agent.post(self.address(path)).query_pairs(query.iter().copied());
        let request = request.header("Authorization", format!("Bearer {}", self.token));
        self.answer(path, request.header("Content-Type", "application/json").send(body))
    }

    /// What `/readyz` says is wrong with the configuration: the answer itself does not. A binding of a database that is not there is
    /// among the checks of the schema.
    fn not_configured(&self) -> String {
        let ready = self.probe("/readyz");
        let check = |name: &str| {
            let check = ready.as_ref()?.get("checks")?.get(name)?.as_str()?;
            (check != "ok").then(|| format!(", which says: {}", one_line(check)))
        };
        check("configuration").or_else(|| check("schema")).unwrap_or_default()
    }

    fn address(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    fn answer(&self, path: &str, response: Result<Response<Body>, ureq::Error>) -> Result<Value, Error> {
        let url = &self.url;
        let mut response = response.map_err(|error| {
            let local = if url.contains("//localhost") { " Is `npm start` running?" } else { "" };
            Error::new(Code::Unreachable, format!("`{url}` can't be reached ({error}).{local}"))
        })?;
        let status = response.status();
        // 20 MB: more than any answer. The largest is a dry run of 1,000 creations.
        let text = response.body_mut().with_config().limit(20_000_000).read_to_string();
        let text = text
            .map_err(|error| Error::new(Code::Unreachable, format!("`{url}` stopped answering ({error})")))?;
        let body: Option<Value> = serde_json::from_str(&text).ok();
        let said = body.as_ref().and_then(|body| body.get("error")).and_then(Value::as_str).map(one_line);
        match (status, body.as_ref(), said.as_deref()) {
            (StatusCode::OK | StatusCode::CREATED, Some(_), None) => Ok(body.unwrap_or_default()),
            (StatusCode::UNAUTHORIZED, ..) => Err(Error::new(
                Code::Refused,
                format!(
                    "`{url}` refused the token. Its log names the reason. The token comes from --token-file, MARK_STALE_DRAFTS_TOKEN or the configuration file."
                ),
            )),
            (StatusCode::FORBIDDEN, _, Some(said)) => {
                Err(Error::new(Code::Refused, format!("`{url}` refused: {said}")))
            }
            (StatusCode::BAD_REQUEST | StatusCode::NOT_FOUND, Some(body), Some(said)) => {
                let owners: Vec<_> = list(body, "user_ids").iter().filter_map(Value::as_str).collect();
                let of = if owners.is_empty() {
                    String::new()
                } else {
                    format!(", of: {}", one_line(&owners.join(", ")))
                };
                Err(Error {
                    is_absent: status == StatusCode::NOT_FOUND,
                    ..Error::new(Code::InvalidInput, format!("{said}{of}"))
                })
            }
            // The rules forbid it, or the balance does not cover it.
            (StatusCode::CONFLICT | StatusCode::PAYMENT_REQUIRED, Some(body), Some(said)) => {
                let amount = |key| body.get(key).and_then(Value::as_u64);
                let money = match (amount("tokens"), amount("balance")) {
                    (Some(tokens), Some(balance)) => {
                        format!(" (it costs {tokens}, the balance is {balance})")
                    }
                    _ => String::new(),
                };
                Err(Error::new(Code::Failed, format!("{said}{money}")))
            }
            (_, Some(body), Some(said)) => {
                let why = if body.get("code").is_some_and(|code| code == "misconfigured") {
                    self.not_configured()
                } else {
                    String::new()
                };
                Err(Error::new(Code::Failed, format!("`{url}` answered {}: {said}{why}", status.as_u16())))
            }
            _ => Err(Error::new(
                Code::Unreachable,
                format!(
                    "`{url}{path}` answered {} without JSON: is this the Worker's address?",
                    status.as_u16()
                ),
            )),
        }
    }
}

/// The parameter that says whose a creation is.
fn of(user: Option<&str>) -> Vec<(&str, &str)> {
    user.map(|user| ("user_id", user)).into_iter().collect()
}

/// What the command calls the parameter that says whose a creation is.
fn whose(error: Error) -> Error {
    Error { message: error.message.replace("expected `user_id` in the query", "expected `--user`"), ..error }
}

/// Encodes text as one segment of a path: everything but letters and digits in percent form.
pub fn segment(text: &str) -> String {
    let encode = |byte: u8| match byte {
        byte if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    };
    text.bytes().map(encode).collect()
}
