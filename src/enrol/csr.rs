//! A request for a certificate (PKCS#10, RFC 2986) as Puppet's server hands it to a policy.

use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::cri_attributes::ParsedCriAttribute;
use x509_parser::prelude::FromDer;

use crate::model::Digest;

/// Bytes of a request at most; one for an RSA key of 16384 bits is a quarter of it.
const MOST: usize = 16 * 1024;

/// What a request says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateRequest {
    /// The name it asks for.
    pub common_name: String,
    /// The challenge (PKCS#9, 1.2.840.113549.1.9.7), if it has one.
    pub challenge: Option<String>,
    /// It asks for extensions: other names, roles.
    pub has_extensions: bool,
    /// The digest of its public key.
    pub key: Digest,
}

/// Why a request cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CsrError {
    /// It is none.
    #[error("it is no certificate request in PEM")]
    Unreadable,
    /// It names nobody, or several.
    #[error("it does not ask for exactly one name")]
    Name,
    /// It is not signed with its own key.
    #[error("it is not signed with the key it is about")]
    Signature,
}

impl CertificateRequest {
    /// Reads a request and checks that whoever made it holds the key.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(pem: &[u8]) -> Result<CertificateRequest, CsrError> {
        if pem.len() > MOST {
            return Err(CsrError::Unreadable);
        }
        let (_, block) = x509_parser::pem::parse_x509_pem(pem).map_err(|_| CsrError::Unreadable)?;
        if !block.label.ends_with("CERTIFICATE REQUEST") {
            return Err(CsrError::Unreadable);
        }
        let (rest, request) = X509CertificationRequest::from_der(&block.contents)
            .map_err(|_| CsrError::Unreadable)?;
        if !rest.is_empty() {
            return Err(CsrError::Unreadable);
        }
        request
            .verify_signature()
            .map_err(|_| CsrError::Signature)?;
        let info = &request.certification_request_info;
        let names: Vec<&str> = info
            .subject
            .iter_common_name()
            .map(|name| name.as_str().unwrap_or(""))
            .collect();
        let [name] = names.as_slice() else {
            return Err(CsrError::Name);
        };
        let attributes = || info.iter_attributes().map(|a| a.parsed_attribute());
        let challenge = attributes().find_map(|a| match a {
            ParsedCriAttribute::ChallengePassword(text) => Some(text.0.clone()),
            _ => None,
        });
        // Puppet always has the attribute, and an empty list in it.
        let has_extensions = attributes().any(|a| match a {
            ParsedCriAttribute::ExtensionRequest(asked) => !asked.extensions.is_empty(),
            _ => false,
        });
        Ok(CertificateRequest {
            common_name: (*name).to_string(),
            challenge,
            has_extensions,
            key: Digest::of(info.subject_pki.raw),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made by Puppet 7.23 of Debian 12 with `csr_attributes.yaml` as a hand-off writes it.
    const PUPPET: &[u8] = include_bytes!("testdata/puppet-csr.pem");

    #[test]
    fn what_puppet_asks_for_is_read() {
        let request = CertificateRequest::read(PUPPET).expect("a request");
        assert_eq!(request.common_name, "web01.lab.example");
        assert_eq!(
            request.challenge.as_deref(),
            Some("0123456789abcdef0123456789abcdef01234567")
        );
        assert!(!request.has_extensions);
    }

    #[test]
    fn what_was_altered_or_is_something_else_is_refused() {
        for text in [&b""[..], b"-----BEGIN CERTIFICATE REQUEST-----\n", b"x"] {
            assert_eq!(CertificateRequest::read(text), Err(CsrError::Unreadable));
        }
        let text = String::from_utf8_lossy(PUPPET);
        let lines: Vec<&str> = text.lines().collect();
        // a flipped bit in its last lines is in its signature, in its first ones in its key
        for line in [3, lines.len() - 3] {
            let mut altered = lines.clone();
            let turned: String = lines[line].chars().rev().collect();
            altered[line] = &turned;
            let altered = altered.join("\n");
            assert!(
                CertificateRequest::read(altered.as_bytes()).is_err(),
                "line {line}"
            );
        }
        let labelled = text.replace("CERTIFICATE REQUEST", "CERTIFICATE");
        assert_eq!(
            CertificateRequest::read(labelled.as_bytes()),
            Err(CsrError::Unreadable)
        );
        let long = [PUPPET, &[b'\n'; MOST]].concat();
        assert_eq!(CertificateRequest::read(&long), Err(CsrError::Unreadable));
    }
}
