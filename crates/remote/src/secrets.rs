//! Build secrets that BuildKit takes as credentials of hosts
//! ([reference](https://docs.docker.com/build/building/secrets/)).

use std::{collections::BTreeMap, fmt};

/// Values of secrets by id.
#[derive(Clone, Default)]
pub(crate) struct Secrets(pub(crate) BTreeMap<String, Vec<u8>>);

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Secrets {
    /// The `Authorization` for a host by name, without port: `HTTP_AUTH_TOKEN_<host>` wins over
    /// `HTTP_AUTH_HEADER_<host>`, as in BuildKit.
    pub(crate) fn http(&self, host: &str) -> Option<String> {
        let token = self.text(&format!("HTTP_AUTH_TOKEN_{host}")).map(|it| format!("Bearer {it}"));
        token.or_else(|| self.text(&format!("HTTP_AUTH_HEADER_{host}")))
    }

    /// A secret as a header's value. What a file has at its end as a line's end is not of it.
    pub(crate) fn text(&self, id: &str) -> Option<String> {
        let value = String::from_utf8_lossy(self.0.get(id)?);
        Some(value.trim_end_matches(['\r', '\n']).to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::Secrets;

    #[test]
    fn values_are_not_shown() {
        let id = "HTTP_AUTH_TOKEN_h".to_owned();
        let secrets = Secrets([(id, b"secret\n".to_vec())].into());
        assert!(!format!("{secrets:?}").contains("secret"));
        assert_eq!(secrets.http("h").unwrap(), "Bearer secret");
        assert_eq!(secrets.http("other"), None);
    }
}
