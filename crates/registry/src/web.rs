//! Connections to servers that are no registries, with the same TLS, proxies and words for failures.

use crate::{Error, Proxies, client::is_loopback, tls, transport::cause};
use reqwest::{Url, redirect};
use std::time::Duration;

/// How to connect.
#[derive(Clone, Debug)]
pub struct WebOptions {
    /// PEM bundles of certificate authorities, beside the compiled-in ones.
    pub ca: Vec<Vec<u8>>,
    /// Proxies. Servers on the loopback address are always reached directly.
    pub proxies: Proxies,
    /// How the client introduces itself.
    pub user_agent: String,
    /// How long to wait for a connection.
    pub connect: Duration,
}

/// Connections for `url` and others of its kind. Redirects are not followed and bodies are not
/// decompressed.
pub fn web_client(options: &WebOptions, url: &Url) -> Result<reqwest::Client, Error> {
    let WebOptions { ca, proxies, user_agent, connect } = options;
    let builder = reqwest::Client::builder()
        .tls_backend_preconfigured(tls::config(&tls::roots(ca)?, false, &["h2", "http/1.1"]))
        .user_agent(user_agent)
        .redirect(redirect::Policy::none())
        .connect_timeout(*connect)
        .tcp_nodelay(true);
    let direct = is_loopback(url.host_str().unwrap_or_default());
    proxies.apply(builder, direct)?.build().map_err(bad_connection)
}

/// What went wrong on the way to or from `host`, without the URL and its query.
pub fn web_error(host: &str, error: reqwest::Error) -> Error {
    cause(host, error)
}

fn bad_connection(error: reqwest::Error) -> Error {
    Error::BadOption { what: "connection", why: error.without_url().to_string() }
}
