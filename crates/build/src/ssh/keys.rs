//! Private keys for `--ssh ID=FILE`: OpenSSH's own format, without a passphrase.
//! [The format](https://github.com/openssh/openssh-portable/blob/master/PROTOCOL.key).

use super::wire::{self, Parts, put, put_number, trim};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use ring::{
    rand::SystemRandom,
    rsa,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair,
        Ed25519KeyPair, RSA_PKCS1_SHA256, RSA_PKCS1_SHA512, RsaKeyPair,
    },
};
use std::{fmt, sync::Arc};

/// A private key.
#[derive(Clone)]
pub struct SshKey {
    /// As the agent protocol names it.
    public: Vec<u8>,
    comment: Vec<u8>,
    pair: Arc<Pair>,
}

enum Pair {
    Ed25519(Ed25519KeyPair),
    Rsa(Box<RsaKeyPair>),
    /// The key, and the curve's name.
    Ecdsa(EcdsaKeyPair, &'static str),
}

impl fmt::Debug for SshKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SshKey({})", String::from_utf8_lossy(&self.comment))
    }
}

/// Why a key cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// It is no private key, or not in OpenSSH's format.
    #[error("not a private key in OpenSSH's format")]
    Format,
    /// It has a passphrase.
    #[error("the key has a passphrase")]
    Passphrase,
    /// DSA, a key on a token, or a number of bits that is not supported.
    #[error("a kind of key that is not supported")]
    Kind,
}

const BEGIN: &str = "-----BEGIN OPENSSH PRIVATE KEY-----";
const END: &str = "-----END OPENSSH PRIVATE KEY-----";
const MAGIC: &[u8] = b"openssh-key-v1\0";

impl SshKey {
    /// Reads a key file.
    pub fn read(file: &[u8]) -> Result<SshKey, KeyError> {
        let text = str::from_utf8(file).map_err(|_| KeyError::Format)?;
        if text.contains("BEGIN RSA PRIVATE KEY") && text.contains("ENCRYPTED") {
            return Err(KeyError::Passphrase);
        }
        let body = text.split_once(BEGIN).and_then(|it| it.1.split_once(END));
        let body: String = body.ok_or(KeyError::Format)?.0.split_whitespace().collect();
        let bytes = BASE64_STANDARD.decode(body).map_err(|_| KeyError::Format)?;
        let mut parts = Parts(bytes.strip_prefix(MAGIC).ok_or(KeyError::Format)?);
        let cipher = parts.string().ok_or(KeyError::Format)?;
        if cipher != b"none" {
            return Err(KeyError::Passphrase);
        }
        let (public, private) = sections(&mut parts).ok_or(KeyError::Format)?;
        let mut parts = Parts(private);
        let checks = (parts.number(), parts.number());
        if checks.0.is_none() || checks.0 != checks.1 {
            return Err(KeyError::Format);
        }
        let kind = parts.string().ok_or(KeyError::Format)?;
        let pair = pair(kind, &mut parts).ok_or(KeyError::Kind)?;
        let comment = parts.string().unwrap_or_default().to_vec();
        Ok(SshKey { public: public.to_vec(), comment, pair: Arc::new(pair) })
    }
}

/// The public key and the private section of the first and only key.
fn sections<'a>(parts: &mut Parts<'a>) -> Option<(&'a [u8], &'a [u8])> {
    let (_kdf, _options) = (parts.string()?, parts.string()?);
    let count = parts.number()?;
    (count == 1).then_some(())?;
    Some((parts.string()?, parts.string()?))
}

fn pair(kind: &[u8], parts: &mut Parts<'_>) -> Option<Pair> {
    match kind {
        b"ssh-ed25519" => {
            let (public, private) = (parts.string()?, parts.string()?);
            let seed = private.get(..32)?;
            Ed25519KeyPair::from_seed_and_public_key(seed, public).ok().map(Pair::Ed25519)
        }
        b"ssh-rsa" => rsa(parts).map(|it| Pair::Rsa(Box::new(it))),
        b"ecdsa-sha2-nistp256" => ecdsa(parts, "nistp256", 32),
        b"ecdsa-sha2-nistp384" => ecdsa(parts, "nistp384", 48),
        _ => None,
    }
}

fn rsa(parts: &mut Parts<'_>) -> Option<RsaKeyPair> {
    let mut next = || parts.string().map(trim);
    let (n, e, d, inverse, p, q) = (next()?, next()?, next()?, next()?, next()?, next()?);
    let (exponent_p, exponent_q) = (remainder(d, p), remainder(d, q));
    let components = rsa::KeyPairComponents {
        public_key: rsa::PublicKeyComponents { n, e },
        d,
        p,
        q,
        dP: trim(&exponent_p),
        dQ: trim(&exponent_q),
        qInv: inverse,
    };
    RsaKeyPair::from_components(&components).ok()
}

/// `number mod (prime - 1)`, bit by bit: once a build, for numbers of some thousand bits.
fn remainder(number: &[u8], prime: &[u8]) -> Vec<u8> {
    let mut modulus = prime.to_vec();
    // A prime is odd, so nothing is borrowed.
    if let Some(last) = modulus.last_mut() {
        *last &= 0xfe;
    }
    modulus.insert(0, 0);
    let mut rest = vec![0_u8; modulus.len()];
    for bit in number.iter().flat_map(|byte| (0..8).rev().map(move |at| byte >> at & 1)) {
        let mut carry = bit;
        for byte in rest.iter_mut().rev() {
            let next = *byte >> 7;
            *byte = *byte << 1 | carry;
            carry = next;
        }
        if rest >= modulus {
            subtract(&mut rest, &modulus);
        }
    }
    rest
}

fn subtract(from: &mut [u8], what: &[u8]) {
    let mut borrow = false;
    for (from, what) in from.iter_mut().zip(what).rev() {
        let (rest, first) = from.overflowing_sub(*what);
        let (rest, second) = rest.overflowing_sub(u8::from(borrow));
        *from = rest;
        borrow = first || second;
    }
}

fn ecdsa(parts: &mut Parts<'_>, curve: &'static str, length: usize) -> Option<Pair> {
    let (_curve, point, number) = (parts.string()?, parts.string()?, trim(parts.string()?));
    let mut private = vec![0; length.checked_sub(number.len())?];
    private.extend(number);
    let kind = if length == 32 {
        &ECDSA_P256_SHA256_FIXED_SIGNING
    } else {
        &ECDSA_P384_SHA384_FIXED_SIGNING
    };
    let random = SystemRandom::new();
    let pair = EcdsaKeyPair::from_private_key_and_public_key(kind, &private, point, &random);
    Some(Pair::Ecdsa(pair.ok()?, curve))
}

/// The answer to the question which keys there are.
pub(super) fn identities(keys: &[SshKey]) -> Vec<u8> {
    let mut answer = vec![wire::IDENTITIES_ANSWER];
    answer.extend(u32::try_from(keys.len()).unwrap_or(0).to_be_bytes());
    for SshKey { public, comment, pair: _ } in keys {
        put(&mut answer, public);
        put(&mut answer, comment);
    }
    answer
}

/// The answer to a request for a signature.
pub(super) fn sign(keys: &[SshKey], request: &[u8]) -> Option<Vec<u8>> {
    let mut parts = Parts(request);
    let (public, data, flags) = (parts.string()?, parts.string()?, parts.number()?);
    let key = keys.iter().find(|it| it.public == public)?;
    let mut signature = Vec::new();
    match &*key.pair {
        Pair::Ed25519(pair) => {
            put(&mut signature, b"ssh-ed25519");
            put(&mut signature, pair.sign(data).as_ref());
        }
        Pair::Rsa(pair) => rsa_signature(pair, data, flags, &mut signature)?,
        Pair::Ecdsa(pair, curve) => {
            let signed = pair.sign(&SystemRandom::new(), data).ok()?;
            let (r, s) = signed.as_ref().split_at(signed.as_ref().len() / 2);
            let mut numbers = Vec::new();
            put_number(&mut numbers, r);
            put_number(&mut numbers, s);
            put(&mut signature, format!("ecdsa-sha2-{curve}").as_bytes());
            put(&mut signature, &numbers);
        }
    }
    let mut answer = vec![wire::SIGN_RESPONSE];
    put(&mut answer, &signature);
    Some(answer)
}

/// With SHA-1, which no flag asks for, nothing is signed: no server of today takes it.
fn rsa_signature(pair: &RsaKeyPair, data: &[u8], flags: u32, to: &mut Vec<u8>) -> Option<()> {
    const SHA2_256: u32 = 2;
    const SHA2_512: u32 = 4;
    let (name, padding) = if flags & SHA2_512 != 0 {
        ("rsa-sha2-512", &RSA_PKCS1_SHA512)
    } else if flags & SHA2_256 != 0 {
        ("rsa-sha2-256", &RSA_PKCS1_SHA256)
    } else {
        return None;
    };
    let mut signed = vec![0; pair.public().modulus_len()];
    pair.sign(padding, &SystemRandom::new(), data, &mut signed).ok()?;
    put(to, name.as_bytes());
    put(to, &signed);
    Some(())
}

#[cfg(test)]
mod tests {
    use super::remainder;

    #[test]
    fn remainders() {
        assert_eq!(remainder(&[0x03, 0xe8], &[101]), [0, 0]);
        assert_eq!(remainder(&[0x03, 0xe9], &[101]), [0, 1]);
        assert_eq!(remainder(&[99], &[101]), [0, 99]);
        assert_eq!(remainder(&[0xff, 0xff, 0xff], &[0xfb, 0x03]), [0, 0x16, 0xf5]);
    }
}
