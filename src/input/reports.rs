use super::fields::Fields;
use crate::rules::{GENERATION_TIMEOUT, Report};

/// The longest texts that are taken, in bytes.
const MAX_NAME: usize = 200;
const MAX_TEXT: usize = 20_000;
const MAX_URL: usize = 2_048;
/// The largest number that JSON, D1 and JavaScript agree on.
const MAX_TOKENS: u64 = 9_007_199_254_740_991;

/// The body of `POST /api/creations`.
#[derive(Debug)]
pub struct Asked {
    /// The owner.
    pub user_id: String,
    /// The kind.
    pub kind: String,
    /// What the owner asks for.
    pub prompt: String,
    /// What it costs.
    pub tokens: u64,
}

impl Asked {
    /// Reads a body.
    ///
    /// # Errors
    ///
    /// A text that quotes what is not understood and says what would be right.
    pub fn read(mut fields: Fields) -> Result<Self, String> {
        let user_id = fields.text("user_id", MAX_NAME)?;
        let kind = fields.text("kind", MAX_NAME)?;
        let prompt = fields.text("prompt", MAX_TEXT)?;
        let tokens = fields.whole("tokens", 0..=MAX_TOKENS)?;
        let tokens = tokens.ok_or("`tokens` is missing: expected what it costs")?;
        fields.end()?;
        Ok(Asked { user_id, kind, prompt, tokens })
    }

    /// The `Idempotency-Key` of the request, if it is fit for one.
    ///
    /// # Errors
    ///
    /// A text that says what would be right.
    pub fn key(key: &str) -> Result<&str, String> {
        if (1..=MAX_NAME).contains(&key.len()) {
            Ok(key)
        } else {
            Err(format!("`Idempotency-Key` has {} bytes: expected 1 to {MAX_NAME}", key.len()))
        }
    }
}

/// The body of `POST /api/creations/{id}/start` and the others of a worker.
#[derive(Debug)]
pub enum Reported {
    /// `start`
    Start {
        /// The worker's name for itself.
        worker: String,
    },
    /// `heartbeat`
    Heartbeat {
        /// The fence.
        fence: String,
        /// How far it is, in percent.
        progress: Option<u32>,
    },
    /// `complete`
    Complete {
        /// The fence.
        fence: String,
        /// Where the result is.
        result_url: String,
    },
    /// `fail`
    Fail {
        /// The fence.
        fence: Option<String>,
        /// Why, as a stable code.
        error_code: String,
        /// Why, in words.
        error: String,
    },
}

impl Reported {
    /// Reads a body by the last part of its path; anything but the first three is `fail`.
    ///
    /// # Errors
    ///
    /// A text that quotes what is not understood and says what would be right.
    pub fn read(verb: &str, mut fields: Fields) -> Result<Self, String> {
        let reported = match verb {
            "start" => Reported::Start { worker: fields.text("worker", MAX_NAME)? },
            "heartbeat" => {
                let fence = fields.text("fence", MAX_NAME)?;
                let progress = fields.whole("progress", 0..=100)?;
                let progress = progress.and_then(|percent| u32::try_from(percent).ok());
                Reported::Heartbeat { fence, progress }
            }
            "complete" => {
                let fence = fields.text("fence", MAX_NAME)?;
                let result_url = fields.text("result_url", MAX_URL)?;
                if !result_url.starts_with("https://") && !result_url.starts_with("http://") {
                    let expected = "expected an address with `https://`";
                    return Err(format!("`result_url` is `{result_url}`: {expected}"));
                }
                Reported::Complete { fence, result_url }
            }
            _ => {
                let fence = fields.optional("fence", MAX_NAME)?;
                let error_code = fields.text("error_code", MAX_NAME)?;
                let error = fields.text("error", MAX_TEXT)?;
                if error_code == GENERATION_TIMEOUT {
                    let expected = "that is the sweep's, expected one of your own";
                    return Err(format!("`error_code` is `{error_code}`: {expected}"));
                }
                Reported::Fail { fence, error_code, error }
            }
        };
        fields.end()?;
        Ok(reported)
    }

    /// The same as the rules take it.
    pub fn report(&self) -> Report<'_> {
        match self {
            Reported::Start { worker } => Report::Start { worker },
            Reported::Heartbeat { fence, .. } => Report::Heartbeat { fence },
            Reported::Complete { fence, result_url } => Report::Complete { fence, result_url },
            Reported::Fail { fence, error_code, .. } => Report::Fail { fence: fence.as_deref(), error_code },
        }
    }
}
