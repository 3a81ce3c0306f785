//! Addresses on the web.

use std::net::Ipv6Addr;

/// A text as a part of an address: of its path, or of its query.
pub fn encoded(text: &str) -> String {
    let part = |byte: u8| match byte {
        b'-' | b'_' | b'.' => char::from(byte).to_string(),
        byte if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    };
    text.bytes().map(part).collect()
}

/// An `http` or `https` address, taken apart.
///
/// It is stricter than a browser, so that whoever reads it sees the same host: without a user name before the host, white
/// space, control characters or `\`, which browsers take for `/`. A host is written in ASCII; a path need not be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address<'a> {
    /// Whether it is reached over TLS.
    pub secure: bool,
    /// The host, with its port.
    pub host: &'a str,
    /// The host without its port.
    pub name: &'a str,
    /// The port, if it is given.
    pub port: Option<u16>,
}

impl<'a> Address<'a> {
    /// The address of a server to be called: in ASCII, over TLS, or on this machine, for tests. `None` if the text is none.
    pub fn of_server(text: &'a str) -> Option<Self> {
        let address = Self::parse(text)?;
        let local = address.port.is_some() && ["localhost", "127.0.0.1"].contains(&address.name);
        let ascii = text.bytes().all(|byte| byte.is_ascii_graphic());
        (ascii && (address.secure || local)).then_some(address)
    }

    /// `None` if the text is not such an address.
    pub fn parse(text: &'a str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let secure = scheme.eq_ignore_ascii_case("https");
        let known = secure || scheme.eq_ignore_ascii_case("http");
        let odd = |char: char| char.is_control() || char.is_whitespace() || char == '\\';
        if !known || text.contains(odd) {
            return None;
        }
        let host = rest.split(['/', '?', '#']).next()?;
        // The last colon is the port's, unless it stands within the brackets of an IPv6 address.
        let (name, port) = match host.rsplit_once(':') {
            Some((name, port)) if !port.ends_with(']') => (name, Some(self::port(port)?)),
            _ => (host, None),
        };
        is_host(name).then_some(Address { secure, host, name, port })
    }
}

/// A number takes a `+` before it; a port does not.
fn port(text: &str) -> Option<u16> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

fn is_host(name: &str) -> bool {
    if let Some(inner) = name.strip_prefix('[') {
        return inner.strip_suffix(']').is_some_and(|inner| inner.parse::<Ipv6Addr>().is_ok());
    }
    let label = |label: &str| label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    // The dot of the root may stand at the end.
    let name = name.strip_suffix('.').unwrap_or(name);
    let last = name.rsplit('.').next().unwrap_or_default();
    // What ends in a number is an IPv4 address. To a browser `010` is 8, and `0x7f` a number too.
    let number =
        last.bytes().all(|byte| byte.is_ascii_digit()) || last.to_ascii_lowercase().starts_with("0x");
    let decimal = |part: &str| part.parse::<u8>().is_ok_and(|byte| byte.to_string() == part);
    let parts = || name.split('.');
    parts().all(|part| (1..=63).contains(&part.len()) && label(part))
        && (!number || parts().count() == 4 && parts().all(decimal))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_on_the_web_is_taken_apart() {
        let host = |text| Address::parse(text).map(|address| (address.secure, address.name, address.port));
        assert_eq!(host("https://a.example/b?c#d"), Some((true, "a.example", None)));
        assert_eq!(host("HTTPS://A.example:8443"), Some((true, "A.example", Some(8443))));
        assert_eq!(host("hTTp://127.0.0.1:80?x"), Some((false, "127.0.0.1", Some(80))));
        assert_eq!(host("https://[2001:db8::1]:8443/"), Some((true, "[2001:db8::1]", Some(8443))));
        assert_eq!(host("https://[1:2:3:4:5:6:7:8]/"), Some((true, "[1:2:3:4:5:6:7:8]", None)));
        assert_eq!(host("https://a.example./狐.png?q=ü"), Some((true, "a.example.", None)));
        assert_eq!(host("https://my_bucket.example/@user:x"), Some((true, "my_bucket.example", None)));
    }

    #[test]
    fn nothing_else_is_one() {
        for wrong in [
            "",
            "a",
            "//a.example",
            "a.example/b",
            "https:a.example",
            "https:/a.example",
            "https:\\\\a.example",
            "http://",
            "https://",
            "https:///a",
            "https://?a",
            "https://#",
            "https://.",
            "https://..",
            "https://a..b",
            "httpx://a.example",
            "javascript:alert(1)",
            "javascript://a.example/%0aalert(1)",
            "data:text/html,x",
            "ftp://a.example",
            " https://a.example",
            "https://a.example ",
            "https://a.example/a b",
            "https://x\r\nSet-Cookie: a",
            "https://a.example/\t",
            "https://a.example/\u{7f}",
            "https://a.example/\0",
            "https://a.example/\u{85}",
            "https://a.example/\u{2028}",
            "https://a\u{a0}b.example",
            "https://user@a.example",
            "https://user:secret@a.example/",
            "https://@a.example",
            "https://a.example\\@b.example",
            "https://a.example:",
            "https://a.example:port",
            "https://a.example:65536",
            "https://a.example:-1",
            "https://a.example:+80",
            "https://[::1]:+80",
            "https://[:::]",
            "https://[1::2::3]",
            "https://[1:2:3:4:5:6:7:8:9]",
            "https://[12345::]",
            "https://010.0.0.1",
            "https://1.2.3.0x4",
            "https://0x7f000001",
            "https://a.0X1",
            "https://[::1",
            "https://::1/",
            "https://[]",
            "https://[a]",
            "https://[::g]",
            "https://a%2eb/",
            "https://ü.example",
            "https://1.2.3.256",
            "https://1.2.3",
            "https://1.2.3.4.5",
            "https://1",
            "https://a,b",
            "https://<script>",
        ] {
            assert_eq!(Address::parse(wrong), None, "{wrong:?}");
        }
    }
}
