//! TLS: ring as the provider, the caller's certificates and a compiled-in bundle as the roots.

use crate::{Certificates, Error};
use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::CryptoProvider,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
    sign::{CertifiedKey, SingleCertAndKey},
};
use std::sync::Arc;

/// The TLS settings of connections to a registry with certificates of its own.
pub(crate) fn own_config(
    roots: &RootCertStore,
    own: &Certificates,
    insecure: bool,
    alpn: &[&str],
) -> Result<ClientConfig, Error> {
    let Certificates { ca, client } = own;
    let mut roots = roots.clone();
    for bundle in ca {
        add(&mut roots, bundle)?;
    }
    let mut made = config(&roots, insecure, alpn);
    if let Some((certificate, key)) = client {
        let bad = |error: String| Error::BadOption { what: "client certificate", why: error };
        let chain = CertificateDer::pem_slice_iter(certificate)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|it| bad(it.to_string()))?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|it| bad(it.to_string()))?;
        let provider = rustls::crypto::ring::default_provider();
        let signer =
            provider.key_provider.load_private_key(key).map_err(|it| bad(it.to_string()))?;
        let pair = CertifiedKey::new(chain, signer);
        made.client_auth_cert_resolver = Arc::new(SingleCertAndKey::from(pair));
    }
    Ok(made)
}

fn add(roots: &mut RootCertStore, bundle: &[u8]) -> Result<(), Error> {
    for certificate in CertificateDer::pem_slice_iter(bundle) {
        let certificate = certificate.map_err(|error| Error::BadOption {
            what: "certificate bundle",
            why: error.to_string(),
        })?;
        // Bundles contain certificates that webpki cannot use; the others still count.
        let _ = roots.add(certificate);
    }
    Ok(())
}

/// The roots: `bundles` (PEM) and Mozilla's, so that a machine without a CA bundle works.
pub(crate) fn roots(bundles: &[Vec<u8>]) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    for bundle in bundles {
        add(&mut roots, bundle)?;
    }
    roots.add_parsable_certificates(webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().cloned());
    Ok(roots)
}

/// The TLS settings of one kind of connection.
pub(crate) fn config(roots: &RootCertStore, insecure: bool, alpn: &[&str]) -> ClientConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .expect("ring has the default protocol versions");
    let mut config = if insecure {
        builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Unverified(provider)))
            .with_no_client_auth()
    } else {
        builder.with_root_certificates(roots.clone()).with_no_client_auth()
    };
    config.alpn_protocols = alpn.iter().map(|it| it.as_bytes().to_vec()).collect();
    config
}

/// Accepts any certificate; only for registries that the caller named as insecure.
#[derive(Debug)]
struct Unverified(Arc<CryptoProvider>);

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
