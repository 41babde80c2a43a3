//! URLs of nodes hold keys: in their path, their query, or before the host. None of it is ever shown.

/// What a URL may show, and what it may not.
#[derive(Clone)]
pub(super) struct Secrets {
    label: String,
    hidden: Vec<String>,
}

impl Secrets {
    /// Reads a URL. What is no URL at all is hidden whole.
    pub(super) fn of(url: &str) -> Self {
        let Some((scheme, rest)) = url.split_once("://") else {
            return Self { label: "(no URL)".into(), hidden: vec![url.to_owned()] };
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, tail) = rest.split_at(end);
        let (user, host) = authority.rsplit_once('@').unwrap_or(("", authority));
        let label = format!("{scheme}://{host}");
        let path = tail.split(['?', '#']).next().unwrap_or_default();
        let pieces = tail.split(['/', '?', '#', '&', '=']).chain(user.split(':'));
        // Short pieces such as "v2" are no secrets, and would blot out half of every message.
        let pieces = pieces.filter(|piece| piece.len() >= 6).map(str::to_owned);
        let whole = [url, tail, path, user].into_iter().filter(|part| part.len() > 1).map(str::to_owned);
        let mut hidden: Vec<String> = whole.chain(pieces).collect();
        hidden.sort_by_key(|part| std::cmp::Reverse(part.len()));
        hidden.dedup();
        Self { label, hidden }
    }

    /// Scheme, host and port.
    pub(super) fn label(&self) -> &str {
        &self.label
    }

    /// The text without anything that may not be shown.
    pub(super) fn redact(&self, text: &str) -> String {
        self.hidden.iter().fold(text.to_owned(), |text, part| text.replace(part.as_str(), "[…]"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_url_only_scheme_host_and_port_are_shown() {
        for (url, label) in [
            ("https://user:hunter22@node.example:8545/v2/SECRETKEY?apikey=QUERYKEY", "https://node.example:8545"),
            ("wss://node.example/SECRETKEY", "wss://node.example"),
            ("http://127.0.0.1:8545", "http://127.0.0.1:8545"),
        ] {
            let secrets = Secrets::of(url);
            assert_eq!(secrets.label(), label);
            let shown = secrets.redact(&format!("no answer from {url}: SECRETKEY, apikey=QUERYKEY, hunter22 refused"));
            for secret in ["hunter22", "SECRETKEY", "QUERYKEY"] {
                assert!(!url.contains(secret) || !shown.contains(secret), "{shown}");
            }
        }
        assert!(!Secrets::of("SECRETKEY").redact("bad URL SECRETKEY").contains("SECRETKEY"));
    }
}
