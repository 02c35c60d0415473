//! The certificates a listener shows, and the pair of our own where it was given none.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use boring::asn1::Asn1Time;
use boring::bn::{BigNum, MsbOption};
use boring::ec::{EcGroup, EcKey};
use boring::error::ErrorStack;
use boring::hash::MessageDigest;
use boring::nid::Nid;
use boring::pkey::{Id as KeyType, PKey, Private};
use boring::ssl::{ClientHello, ExtensionType, SelectCertError, SslContextBuilder, SslRef};
use boring::x509::extension::{BasicConstraints, ExtendedKeyUsage, SubjectAlternativeName};
use boring::x509::{X509, X509Name};
use tracing::{info, warn};

use super::TlsError;

/// How long ours is valid: as long as Kong's.
const DAYS: u32 = 20 * 365;

/// An RSA key must have so many bits to sign a handshake of TLS 1.3.
const WEAKEST: u32 = 1024;

/// What is shown, in order of preference. Never none.
pub(super) struct Shown(Vec<Pair>);

/// A certificate, those that lead to its root, and its key.
struct Pair {
    leaf: X509,
    chain: Vec<X509>,
    key: PKey<Private>,
}

impl Shown {
    /// What an operator gave.
    pub(super) fn given(pairs: &[(String, String)]) -> Result<Self, TlsError> {
        let pair = |(at, (cert, key)): (usize, &(String, String))| {
            Pair::of(cert, key).map_err(|why| TlsError::Pair { at, why })
        };
        let pairs: Vec<Pair> = pairs.iter().enumerate().map(pair).collect::<Result<_, _>>()?;
        match pairs.is_empty() {
            true => Err(TlsError::Pair { at: 0, why: "there is no certificate".to_owned() }),
            false => Ok(Self(pairs)),
        }
    }

    /// The pair in the files that begin like `place`; one is made where they are not there. What cannot
    /// be kept is shown nevertheless: a full disk should not lock operators out.
    pub(super) fn own(place: Option<&Path>) -> Result<Self, TlsError> {
        let Some(place) = place else {
            return Ok(Self(vec![Pair::make().map_err(TlsError::Own)?]));
        };
        let (cert, key) = (with_ending(place, "crt"), with_ending(place, "key"));
        match (fs::read_to_string(&cert), fs::read_to_string(&key)) {
            (Ok(cert_pem), Ok(key_pem)) => match Pair::of(&cert_pem, &key_pem) {
                Ok(pair) => return Ok(Self(vec![pair])),
                Err(why) => warn!("[admin] {} is made anew: {why}", cert.display()),
            },
            (Err(missing), _) | (_, Err(missing)) if missing.kind() == io::ErrorKind::NotFound => {}
            (Err(error), _) | (_, Err(error)) => {
                warn!("[admin] {} is made anew: {error}", cert.display());
            }
        }
        let pair = Pair::make().map_err(TlsError::Own)?;
        match pair.keep(&cert, &key) {
            Ok(()) => info!("[admin] made a self-signed certificate, {}", cert.display()),
            Err(error) => {
                let cert = cert.display();
                warn!("[admin] the self-signed certificate is for this run only: {cert}: {error}");
            }
        }
        Ok(Self(vec![pair]))
    }

    /// Has clients shown the first pair whose key they can check.
    pub(super) fn show_in(self, context: &mut SslContextBuilder) {
        context.set_select_certificate_callback(move |mut hello| {
            let pair = self.0.iter().find(|pair| pair.suits(&hello)).or(self.0.first());
            let pair = pair.ok_or(SelectCertError::ERROR)?;
            pair.show_on(hello.ssl_mut()).map_err(|_| SelectCertError::ERROR)
        });
    }
}

impl Pair {
    fn of(cert: &str, key: &str) -> Result<Self, String> {
        let chain = X509::stack_from_pem(cert.as_bytes());
        let chain = chain.map_err(|_| "the certificate cannot be read".to_owned())?;
        let mut chain = chain.into_iter();
        let leaf = chain.next().ok_or_else(|| "there is no certificate".to_owned())?;
        // Without a passphrase: there is nobody to ask.
        let key = PKey::private_key_from_pem_callback(key.as_bytes(), |_| Ok(0));
        let key = key.map_err(|_| "the key cannot be read".to_owned())?;
        if !leaf.public_key().is_ok_and(|public| key.public_eq(&public)) {
            return Err("the key is that of another certificate".to_owned());
        }
        if key.id() == KeyType::RSA && key.bits() < WEAKEST {
            return Err(format!("an RSA key of {} bits cannot sign a handshake", key.bits()));
        }
        Ok(Self { leaf, chain: chain.collect(), key })
    }

    /// For this machine as it calls itself.
    fn make() -> Result<Self, ErrorStack> {
        let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1)?;
        let key = PKey::from_ec_key(EcKey::generate(&group)?)?;
        let mut name = X509Name::builder()?;
        name.append_entry_by_text("CN", "localhost")?;
        let name = name.build();
        let mut serial = BigNum::new()?;
        serial.rand(127, MsbOption::MAYBE_ZERO, false)?;
        let mut leaf = X509::builder()?;
        leaf.set_version(2)?;
        leaf.set_serial_number(&*serial.to_asn1_integer()?)?;
        leaf.set_subject_name(&name)?;
        leaf.set_issuer_name(&name)?;
        leaf.set_pubkey(&key)?;
        leaf.set_not_before(&*Asn1Time::days_from_now(0)?)?;
        leaf.set_not_after(&*Asn1Time::days_from_now(DAYS)?)?;
        let mut names = SubjectAlternativeName::new();
        names.dns("localhost").ip("127.0.0.1").ip("::1");
        let names = names.build(&leaf.x509v3_context(None, None))?;
        leaf.append_extension(&names)?;
        leaf.append_extension(&*BasicConstraints::new().critical().build()?)?;
        leaf.append_extension(&*ExtendedKeyUsage::new().server_auth().build()?)?;
        leaf.sign(&key, MessageDigest::sha256())?;
        Ok(Self { leaf: leaf.build(), chain: Vec::new(), key })
    }

    /// The key first, and for nobody else to read: what is not whole is made anew.
    fn keep(&self, cert: &Path, key: &Path) -> io::Result<()> {
        if let Some(directory) = key.parent().filter(|directory| !directory.is_dir()) {
            DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        }
        write(key, &self.key.private_key_to_pem_pkcs8()?, 0o600)?;
        write(cert, &self.leaf.to_pem()?, 0o644)
    }

    /// Whether the client takes signatures by this key. One that does not say is shown the first.
    fn suits(&self, hello: &ClientHello<'_>) -> bool {
        let wanted: &[u16] = match (self.key.id(), self.key.bits()) {
            (KeyType::RSA, _) => &[0x0804, 0x0805, 0x0806, 0x0401, 0x0501, 0x0601, 0x0201],
            (KeyType::EC, ..=256) => &[0x0403],
            (KeyType::EC, ..=384) => &[0x0503],
            (KeyType::EC, _) => &[0x0603],
            _ => &[0x0807],
        };
        // Codes of two bytes (RFC 8446 §4.2.3), behind two of length.
        let schemes = hello.get_extension(ExtensionType::SIGNATURE_ALGORITHMS).unwrap_or_default();
        schemes.chunks_exact(2).skip(1).any(|scheme| {
            <[u8; 2]>::try_from(scheme).is_ok_and(|code| wanted.contains(&u16::from_be_bytes(code)))
        })
    }

    fn show_on(&self, ssl: &mut SslRef) -> Result<(), ErrorStack> {
        ssl.set_certificate(&self.leaf)?;
        ssl.set_private_key(&self.key)?;
        self.chain.iter().try_for_each(|certificate| ssl.add_chain_cert(certificate))
    }
}

fn with_ending(place: &Path, ending: &str) -> PathBuf {
    let mut name = place.as_os_str().to_owned();
    name.push(".");
    name.push(ending);
    name.into()
}

/// Puts a whole file in the place of what was there.
fn write(path: &Path, pem: &[u8], mode: u32) -> io::Result<()> {
    let new = with_ending(path, "new");
    let _ = fs::remove_file(&new); // of a start that was cut off
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&new)?;
    file.write_all(pem)?;
    file.sync_all()?;
    fs::rename(&new, path)
}
