use std::fmt;

use crate::read::Address;

/// The address of a chat's incoming webhook. Whoever knows it can post there, so it is a secret and never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct ChatUrl(String);

impl ChatUrl {
    /// Takes `text` as the address, under the name of its secret; `None` if there is none.
    ///
    /// # Errors
    ///
    /// What is wrong with it: it is no address, or neither reached over TLS nor on this machine. The text does not quote it.
    pub fn new(name: &str, text: Option<&str>) -> Result<Option<Self>, String> {
        let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(None) };
        let address = Address::of_server(text).filter(|_| text.len() <= 2_000);
        address
            .map(|_| Some(ChatUrl(text.to_owned())))
            .ok_or_else(|| format!("secret `{name}` is no address: expected an `https://` URL"))
    }

    /// The address, to send to it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// An error of sending without any part of the address that tells it.
    pub fn redact(&self, error: &str) -> String {
        let (_, path) = self.0.split_once("://").unwrap_or_default();
        let path = path.find('/').and_then(|at| path.get(at..)).unwrap_or_default();
        let parts = path.split(['/', '?', '&', '=']).filter(|part| part.len() >= 4);
        if error.contains(&self.0) || parts.into_iter().any(|part| error.contains(part)) {
            return String::from("it could not be reached");
        }
        error.to_owned()
    }
}

impl fmt::Debug for ChatUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ChatUrl(…)")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    const URL: &str = "https://hooks.slack.com/services/T0000/B0000/kept-to-itself";

    #[test]
    fn it_is_an_address_over_tls_or_on_this_machine() {
        let url = |text| ChatUrl::new("SLACK_WEBHOOK_URL", text);
        assert_eq!(url(None), Ok(None));
        assert_eq!(url(Some("")), Ok(None));
        assert_eq!(url(Some(URL)).unwrap().unwrap().expose(), URL);
        assert!(url(Some("http://127.0.0.1:9/x")).unwrap().is_some());
        for wrong in [
            "hooks.slack.com/services",
            "http://hooks.slack.com/x",
            " https://a.example/x",
            "https://a.example/x\n",
            "ftp://a",
        ] {
            let error = url(Some(wrong)).unwrap_err();
            assert_eq!(error, "secret `SLACK_WEBHOOK_URL` is no address: expected an `https://` URL");
        }
    }

    #[test]
    fn no_error_and_no_debug_tells_it() {
        let url = ChatUrl::new("SLACK_WEBHOOK_URL", Some(URL)).unwrap().unwrap();
        assert_eq!(format!("{url:?}"), "ChatUrl(…)");
        for error in [
            format!("{URL} refused"),
            String::from("GET /services/T0000/B0000/kept-to-itself"),
            String::from("kept-to-itself"),
        ] {
            assert_eq!(url.redact(&error), "it could not be reached");
        }
        assert_eq!(url.redact("Network connection lost."), "Network connection lost.");
    }
}
