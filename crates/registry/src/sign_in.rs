//! Whether a registry knows who asks.

use crate::{Client, Error, challenge::Scopes, retry::Failed, transport::Call};
use reqwest::Method;

impl Client {
    /// Logs in to `registry`, a host with an optional port. Returns whether it asked for a login.
    pub fn sign_in(&self, registry: &str) -> Result<bool, Error> {
        let inner = self.inner()?;
        let host = inner.host(registry);
        let scopes = Scopes::none("");
        inner.block_on(inner.retry(registry, async || {
            let url = inner.url(&host, "v2/").await?;
            let answer = inner.send(&Call::new(&host, &scopes, Method::GET, url)).await?;
            match answer.status().as_u16() {
                200..=299 => Ok(answer.signed_in()),
                _ => Err(Failed::from(answer.failure().await)),
            }
        }))
    }
}
