//! Why there is no connection, for people.

use crate::Error;

/// Why there is no connection where a server answers without TLS.
pub(crate) const NO_TLS: &str = "it does not speak TLS";
/// Why there is no connection where a name is not known.
pub(crate) const NO_ADDRESS: &str = "its name cannot be resolved";
/// How a cause begins that lies with the proxy.
pub(crate) const PROXY: &str = "the proxy for https";

/// What reqwest ran into, without the URL and its query.
pub(crate) fn cause(registry: &str, error: reqwest::Error) -> Error {
    let error = error.without_url();
    let connecting = error.is_connect();
    let registry = registry.to_owned();
    let mut texts: Vec<String> = Vec::new();
    let mut next: Option<&dyn std::error::Error> = Some(&error);
    while let Some(link) = next {
        if let Some(rustls::Error::InvalidCertificate(why)) = tls_error(link) {
            return Error::Certificate { registry, cause: distrust(why) };
        }
        let text = link.to_string();
        if text.ends_with("InvalidContentType") {
            let cause = NO_TLS.to_owned();
            return Error::Unreachable { registry, cause, connecting };
        }
        // Wrappers repeat what they wrap; their own words say nothing to a person.
        if texts.last().is_some_and(|last| last.contains(&text)) {
            texts.pop();
        }
        texts.push(text);
        next = link.source();
    }
    let telling =
        |it: &&String| !it.starts_with("error sending request") && !it.starts_with("client error");
    let told: Vec<&str> = texts.iter().filter(telling).map(String::as_str).collect();
    let told = if told.is_empty() { texts.join(": ") } else { told.join(": ") };
    let told = match told.rsplit_once("failed to lookup address information: ") {
        Some((_, why)) => format!("{NO_ADDRESS}: {why}"),
        None => told,
    };
    let told = told.strip_prefix("tunnel error: ").map(proxied).unwrap_or(told);
    Error::Unreachable { registry, cause: told, connecting }
}

/// What a proxy does instead of connecting, for people.
fn proxied(text: &str) -> String {
    let not_reached = "failed to create underlying connection: ";
    let why = match text {
        "proxy authorization required" => "wants a user and a password (407)",
        "unsuccessful" => "refuses to connect",
        other => other.strip_prefix(not_reached).unwrap_or(other),
    };
    let verb = if text.starts_with(not_reached) { " cannot be reached:" } else { "" };
    format!("{PROXY}{verb} {why}")
}

/// What is wrong with a certificate, for people.
fn distrust(why: &rustls::CertificateError) -> String {
    use rustls::CertificateError as It;
    #[expect(clippy::wildcard_enum_match_arm, reason = "the others speak for themselves")]
    match why {
        It::Expired | It::ExpiredContext { .. } => {
            return "it has expired, by this machine's clock".to_owned();
        }
        It::NotValidYet | It::NotValidYetContext { .. } => {
            return "it is not valid yet, by this machine's clock".to_owned();
        }
        It::NotValidForNameContext { expected, presented } => {
            let names: Vec<String> = presented.iter().map(|it| bare_name(it)).collect();
            let expected = expected.to_str();
            return format!("not valid for name \"{expected}\", but for {}", names.join(", "));
        }
        _ => {}
    }
    let text = why.to_string();
    if text.contains("CaUsedAsEndEntity") {
        return "it is an authority's own, and not one that an authority made for the server"
            .into();
    }
    text.replace("UnknownIssuer", "its issuer is not known")
}

/// The name in `DnsName("localhost")` or `IpAddress(127.0.0.1)`.
fn bare_name(presented: &str) -> String {
    let inner = presented.split_once('(').map_or(presented, |it| it.1);
    inner.trim_end_matches(')').trim_matches('"').to_owned()
}

/// The TLS error in an IO error, which may lie in another IO error and is no `source` of either.
fn tls_error<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a rustls::Error> {
    let inner = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    inner.and_then(|it| tls_error(it)).or_else(|| error.downcast_ref())
}

#[cfg(test)]
mod tests {
    use super::distrust;
    use rustls::CertificateError;

    #[test]
    fn a_clock_that_is_wrong_is_thought_of() {
        for why in [CertificateError::Expired, CertificateError::NotValidYet] {
            let registry = "r.example".to_owned();
            let told = crate::Error::Certificate { registry, cause: distrust(&why) };
            assert!(told.to_string().ends_with("by this machine's clock"), "{told}");
            assert!(told.hint().is_some_and(|it| it.contains("check this machine's clock")));
        }
    }
}
