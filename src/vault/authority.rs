//! The certificate authority of the hand-off. Machines pin its certificate for the time of one build.
//!
//! The clock of a machine that was just installed may say anything: 1970 if its battery is empty, or
//! years ahead. A certificate that is "not yet valid" would keep it from its hand-off for ever, and
//! an early end protects nothing where nobody can tell the time. So both certificates are valid from
//! 1970; the authority's to the year 9999, because whoever pins it does so for one build; the
//! server's to ten years after it was issued. What limits the server's is
//! replacement: its key is in memory only, and a new one is made after a month, when the server's
//! addresses change, and at every start.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType, date_time_ymd,
};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use super::{VaultError, file};
use crate::model::Timestamp;

/// A server's certificate older than this is replaced.
const RENEWED_AFTER: Duration = Duration::from_secs(30 * 24 * 3600);
/// Years that a server's certificate is valid for, at least one less.
const SERVER_YEARS: i16 = 10;
/// If this host's clock is before the program itself, its clock is not believed.
const NOT_BEFORE_YEAR: i16 = 2026;

/// The authority, and the certificate it last issued to this server.
pub struct Authority {
    certificate: Arc<str>,
    der: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
    issued: Mutex<Option<Issued>>,
}

type Chain = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

struct Issued {
    addresses: Vec<Ipv4Addr>,
    at: Timestamp,
    config: Arc<ServerConfig>,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Authority(..)")
    }
}

impl Authority {
    /// Reads `ca.key` and `ca.crt`, or makes them the first time.
    ///
    /// # Errors
    /// If one of them cannot be used, or the certificate is there and its key is not.
    pub fn open(state: &Path) -> Result<Authority, VaultError> {
        let (key_path, path) = (state.join("ca.key"), state.join("ca.crt"));
        let damaged = |path: &Path, what| VaultError::Damaged {
            path: path.to_path_buf(),
            what,
            loss: "builds under way must then be flagged again",
        };
        if path.exists() && !key_path.exists() {
            return Err(damaged(&path, "a certificate whose key `ca.key` is here"));
        }
        let pem = file::read_or_make(&key_path, || {
            let made = KeyPair::generate().map_err(|e| certificate(&e))?;
            Ok(made.serialize_pem().into_bytes().into())
        })?;
        let pem = std::str::from_utf8(&pem).map_err(|_| damaged(&key_path, "a key"))?;
        let key = KeyPair::from_pem(pem).map_err(|_| damaged(&key_path, "a key"))?;
        let params = params();
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let made = params.self_signed(&key).map_err(|e| certificate(&e))?;
                let text = made.pem();
                file::write(&path, text.as_bytes(), 0o644)?;
                text
            }
            Err(source) => return Err(VaultError::File { path, source }),
        };
        let der: CertificateDer<'static> =
            rustls::pki_types::pem::PemObject::from_pem_slice(text.as_bytes())
                .map_err(|_| damaged(&path, "a certificate"))?;
        // A key that was put here without its certificate, or the other way round: every machine would
        // pin a certificate that this server cannot answer with.
        let public = key.public_key_raw();
        let of_key = der.windows(public.len()).any(|part| part == public);
        if !of_key {
            return Err(damaged(&path, "the certificate of the key `ca.key`"));
        }
        Ok(Authority {
            certificate: text.replace("\r\n", "\n").into(),
            der,
            issuer: Issuer::new(params, key),
            issued: Mutex::default(),
        })
    }

    /// The certificate of an authority whose state directory this is; none if it was never started.
    pub fn certificate_in(state: &Path) -> Option<Arc<str>> {
        let text = std::fs::read_to_string(state.join("ca.crt")).ok()?;
        Some(text.replace("\r\n", "\n").into())
    }

    /// Its certificate in PEM. It is public.
    pub fn certificate(&self) -> &Arc<str> {
        &self.certificate
    }

    /// How the server speaks TLS at these addresses: with a certificate that names them all, issued
    /// now or not long ago.
    ///
    /// # Errors
    /// If no certificate can be made.
    pub fn server(
        &self,
        addresses: &[Ipv4Addr],
        now: Timestamp,
    ) -> Result<Arc<ServerConfig>, VaultError> {
        let mut issued = self.issued.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(last) = &*issued
            && last.addresses == addresses
            // A clock that was set back makes it older than it says.
            && now.duration_since(last.at).unsigned_abs() < RENEWED_AFTER
        {
            return Ok(last.config.clone());
        }
        let config = Arc::new(self.issue(addresses, now)?);
        *issued = Some(Issued {
            addresses: addresses.to_vec(),
            at: now,
            config: config.clone(),
        });
        Ok(config)
    }

    fn issue(&self, addresses: &[Ipv4Addr], now: Timestamp) -> Result<ServerConfig, VaultError> {
        let (chain, key) = self.chain(addresses, now)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .and_then(|b| b.with_no_client_auth().with_single_cert(chain, key))
            .map_err(|e| VaultError::Certificate(e.to_string()))
    }

    /// A new key, and its certificate followed by the authority's.
    fn chain(&self, addresses: &[Ipv4Addr], now: Timestamp) -> Result<Chain, VaultError> {
        let key = KeyPair::generate().map_err(|e| certificate(&e))?;
        let mut params = CertificateParams::default();
        params.distinguished_name = name("Farrier hand-off");
        // as names too: with an authority of its own, the curl that Windows ships looked at no addresses for
        // years (curl's issue 15149)
        for ip in addresses {
            let text = ip.to_string().try_into().map_err(|e| certificate(&e))?;
            let names = [SanType::IpAddress(IpAddr::V4(*ip)), SanType::DnsName(text)];
            params.subject_alt_names.extend(names);
        }
        params.not_before = date_time_ymd(1970, 1, 1);
        let year = now.to_zoned(jiff::tz::TimeZone::UTC).year();
        let ends = year.max(NOT_BEFORE_YEAR) + SERVER_YEARS;
        params.not_after = date_time_ymd(i32::from(ends), 1, 1);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let made = params
            .signed_by(&key, &self.issuer)
            .map_err(|e| certificate(&e))?;
        let chain = vec![made.der().clone(), self.der.clone()];
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        Ok((chain, key))
    }
}

/// The same every time, so that the issuer of a certificate that was read is known without parsing it.
fn params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = name("Farrier hand-off authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.not_before = date_time_ymd(1970, 1, 1);
    params.not_after = date_time_ymd(9999, 12, 31);
    params
}

fn name(common: &str) -> rcgen::DistinguishedName {
    let mut name = rcgen::DistinguishedName::new();
    name.push(DnType::CommonName, common);
    name
}

fn certificate(error: &rcgen::Error) -> VaultError {
    VaultError::Certificate(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a time")
    }

    #[test]
    fn a_certificate_is_replaced_when_it_is_old_or_names_other_addresses() {
        let dir = tempfile::tempdir().expect("a directory");
        let authority = Authority::open(dir.path()).expect("made");
        let one = [Ipv4Addr::new(10, 77, 0, 1)];
        let now = at("2027-01-01T00:00:00Z");
        let first = authority.server(&one, now).expect("issued");
        let same = |config: &Arc<ServerConfig>| Arc::ptr_eq(config, &first);
        let soon = authority.server(&one, at("2027-01-30T00:00:00Z"));
        assert!(same(&soon.expect("issued")));
        let two = [one[0], Ipv4Addr::new(10, 78, 0, 1)];
        assert!(!same(&authority.server(&two, now).expect("issued")));
        for later in ["2027-02-01T00:00:00Z", "2026-11-01T00:00:00Z"] {
            let authority = Authority::open(dir.path()).expect("read");
            let first = authority.server(&one, now).expect("issued");
            let later = authority.server(&one, at(later)).expect("issued");
            assert!(!Arc::ptr_eq(&first, &later));
        }
    }

    /// What a machine with this clock says of a certificate for 10.77.0.1.
    fn judged(pinned: &Authority, chain: &Chain, server: &str, clock: Duration) -> bool {
        use rustls::client::danger::ServerCertVerifier;
        let mut roots = rustls::RootCertStore::empty();
        roots.add(pinned.der.clone()).expect("a certificate");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier =
            rustls::client::WebPkiServerVerifier::builder_with_provider(roots.into(), provider)
                .build()
                .expect("a verifier");
        let name = server.to_string().try_into().expect("an address");
        let now = rustls::pki_types::UnixTime::since_unix_epoch(clock);
        let (end, rest) = chain.0.split_first().expect("a certificate");
        verifier
            .verify_server_cert(end, rest, &name, &[], now)
            .is_ok()
    }

    #[test]
    fn a_wrong_clock_keeps_no_machine_from_its_hand_off_and_a_wrong_server_does() {
        let (one, other) = (tempfile::tempdir(), tempfile::tempdir());
        let one = Authority::open(one.expect("a directory").path()).expect("made");
        let other = Authority::open(other.expect("a directory").path()).expect("made");
        let years = |n: u64| Duration::from_secs(n * 365 * 24 * 3600);
        let server = [Ipv4Addr::new(10, 77, 0, 1), Ipv4Addr::new(10, 78, 0, 1)];
        // in 1970 as said by a server that has lost its clock too
        for issued in ["2026-06-01T00:00:00Z", "1970-01-01T00:00:00Z"] {
            let chain = one.chain(&server, at(issued)).expect("issued");
            for clock in [Duration::from_secs(1), years(31), years(56), years(65)] {
                assert!(
                    judged(&one, &chain, "10.77.0.1", clock),
                    "{issued} {clock:?}"
                );
            }
            assert!(judged(&one, &chain, "10.78.0.1", years(56)));
            assert!(!judged(&one, &chain, "10.77.0.1", years(70)));
            assert!(!judged(&one, &chain, "10.77.0.2", years(56)));
            assert!(!judged(&other, &chain, "10.77.0.1", years(56)));
        }
    }

    #[test]
    fn the_authority_stays_the_same_and_is_not_made_anew_without_its_key() {
        let dir = tempfile::tempdir().expect("a directory");
        let first = Authority::open(dir.path()).expect("made");
        let again = Authority::open(dir.path()).expect("read");
        assert_eq!(first.certificate(), again.certificate());
        assert_eq!(
            Authority::certificate_in(dir.path()).as_ref(),
            Some(first.certificate())
        );
        std::fs::remove_file(dir.path().join("ca.key")).expect("removed");
        assert!(matches!(
            Authority::open(dir.path()),
            Err(VaultError::Damaged { .. })
        ));
    }
}
