//! The file of tokens: who they are for, what they allow, and a digest of each, so that whoever reads
//! the file cannot use them.
//!
//! A line is `name role sha256:<64 hexadecimal digits>`; empty lines and what follows a `#` say nothing.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use boring::error::ErrorStack;
use boring::sha::sha256;

/// Tells a token from other secrets, for people and for programs that look for leaked ones.
const PREFIX: &str = "gat_";

/// What is noted for what the gateway itself does.
const OURSELVES: &str = "gateway";

/// The longest name.
const NAME: usize = 64;

/// Who is let in by which token.
#[derive(Debug)]
pub struct Tokens(Vec<Token>);

#[derive(Debug)]
struct Token {
    name: Arc<str>,
    role: Role,
    digest: [u8; 32],
}

/// What a token allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Everything.
    Admin,
    /// To look at everything.
    ReadOnly,
}

/// A line of the file that is no token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenMistake {
    /// Which line, from 1.
    pub line: usize,
    /// What is wrong with it, or what would be right.
    pub what: String,
}

/// A token that was just made.
pub struct NewToken {
    /// What a client shows. It is nowhere else.
    pub secret: String,
    /// The line for the file.
    pub line: String,
}

impl Tokens {
    /// Reads the file's text.
    ///
    /// # Errors
    /// Every line that is wrong.
    pub fn parse(text: &str) -> Result<Self, Vec<TokenMistake>> {
        let (mut tokens, mut mistakes) = (Vec::new(), Vec::new());
        let (mut names, mut digests) = (BTreeMap::new(), BTreeMap::new());
        for (at, line) in text.lines().enumerate() {
            let line = line.split_once('#').map_or(line, |(said, _)| said);
            if line.trim().is_empty() {
                continue;
            }
            let number = at + 1;
            let token = line.parse::<Token>().and_then(|token| {
                if let Some(first) = names.insert(Arc::clone(&token.name), number) {
                    return Err(format!("`{}` is on line {first}, too", token.name));
                }
                if let Some(first) = digests.insert(token.digest, number) {
                    return Err(format!("it is the token of line {first}"));
                }
                Ok(token)
            });
            match token {
                Ok(token) => tokens.push(token),
                Err(what) => mistakes.push(TokenMistake { line: number, what }),
            }
        }
        if mistakes.is_empty() { Ok(Self(tokens)) } else { Err(mistakes) }
    }

    /// Whether nobody is let in.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Who has this token, and for what. All digests are compared, each to its end.
    pub(super) fn find(&self, token: &[u8]) -> Option<(&Arc<str>, Role)> {
        let digest = sha256(token);
        self.0.iter().fold(None, |found, token| {
            let is_it = boring::memcmp::eq(&token.digest, &digest);
            if is_it { Some((&token.name, token.role)) } else { found }
        })
    }
}

impl FromStr for Token {
    type Err = String;

    fn from_str(line: &str) -> Result<Self, String> {
        const FORM: &str = "expected `name role sha256:<64 hexadecimal digits>`";
        let [name, role, digest] = line.split_ascii_whitespace().collect::<Vec<_>>()[..] else {
            return Err(FORM.to_owned());
        };
        check_name(name)?;
        let role = role.parse()?;
        let digest = digest.strip_prefix("sha256:").and_then(from_hex).ok_or(FORM)?;
        if digest == sha256(b"") {
            return Err("it is the digest of an empty token".to_owned());
        }
        Ok(Self { name: name.into(), role, digest })
    }
}

/// Names stand beside addresses where it is told who wrote what.
fn check_name(name: &str) -> Result<(), String> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '@');
    if name == OURSELVES {
        return Err(format!("`{name}` stands for what the gateway does by itself"));
    }
    if name.len() <= NAME
        && name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.chars().all(is_word)
    {
        return Ok(());
    }
    Err(format!(
        "`{name}` is no name: a letter, then letters, digits, `.`, `_`, `-` and `@`, {NAME} at most"
    ))
}

fn from_hex(text: &str) -> Option<[u8; 32]> {
    let mut digest = [0; 32];
    let digits = text.as_bytes();
    if digits.len() != 64 {
        return None;
    }
    for (byte, pair) in digest.iter_mut().zip(digits.chunks_exact(2)) {
        let [high, low] =
            <[u8; 2]>::try_from(pair).ok()?.map(|digit| char::from(digit).to_digit(16));
        *byte = u8::try_from(high? * 16 + low?).ok()?;
    }
    Some(digest)
}

impl FromStr for Role {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        match word {
            "admin" => Ok(Self::Admin),
            "read-only" => Ok(Self::ReadOnly),
            _ => Err(format!("`{word}` is no role: admin or read-only")),
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Admin => "admin",
            Self::ReadOnly => "read-only",
        })
    }
}

/// Why no token was made.
#[derive(Debug, thiserror::Error)]
pub enum NewTokenError {
    /// Nobody can be called that.
    #[error("{0}")]
    Name(String),
    /// There is no randomness to be had.
    #[error("no random bytes")]
    Random(#[from] ErrorStack),
}

impl NewToken {
    /// A token for somebody.
    ///
    /// # Errors
    /// If nobody can be called that.
    pub fn make(name: &str, role: Role) -> Result<Self, NewTokenError> {
        check_name(name).map_err(NewTokenError::Name)?;
        let mut bytes = [0; 32];
        boring::rand::rand_bytes(&mut bytes)?;
        let secret = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes));
        let digest = sha256(secret.as_bytes());
        let digits: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Self { secret, line: format!("{name} {role} sha256:{digits}") })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    const B: &str = "sha256:BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB";

    #[test]
    fn a_token_lets_in_whoever_it_was_made_for() {
        let ci = NewToken::make("ci", Role::Admin).unwrap();
        let eyes = NewToken::make("eyes@ops.test", Role::ReadOnly).unwrap();
        assert!(ci.secret.starts_with("gat_") && ci.secret.len() == 47, "{}", ci.secret);
        let file = format!("# who\n\n{} # since spring\r\n\t{}\n", ci.line, eyes.line);
        let tokens = Tokens::parse(&file).unwrap();
        let found = |secret: &str| {
            let found = tokens.find(secret.as_bytes());
            found.map(|(name, role)| (name.to_string(), role))
        };
        assert_eq!(found(&ci.secret), Some(("ci".to_owned(), Role::Admin)));
        assert_eq!(found(&eyes.secret), Some(("eyes@ops.test".to_owned(), Role::ReadOnly)));
        for wrong in ["", "gat_", &ci.secret[..46], &format!("{} ", ci.secret), &ci.line] {
            assert_eq!(found(wrong), None, "{wrong}");
        }
        assert!(!file.contains(&ci.secret));
    }

    #[test]
    fn every_line_that_is_wrong_is_told() {
        let form = "expected `name role sha256:<64 hexadecimal digits>`";
        for (line, what) in [
            (format!("a admin {A} b"), form),
            ("a admin".to_owned(), form),
            (format!("a admin {}", &A[..70]), form),
            (format!("a admin {}", A.replace("sha256", "md5")), form),
            (format!("a admin {}g", &A[..70]), form),
            (format!("a admin {}é", &A[..69]), form),
            (format!("a root {A}"), "`root` is no role: admin or read-only"),
            (format!("gateway admin {A}"), "`gateway` stands for what the gateway does by itself"),
            (format!("ok admin {B}"), "`ok` is on line 1, too"),
            (format!("other admin {A}"), "it is the token of line 1"),
            (
                "a admin sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
                    .to_owned(),
                "it is the digest of an empty token",
            ),
        ] {
            let first = format!("ok admin {A}\n# the next one is wrong\n");
            // Of two lines, the first has the digest.
            let first = if what.starts_with("it is the token") || what.contains("on line 1") {
                first
            } else {
                first.replace(A, B)
            };
            let told = Tokens::parse(&format!("{first}{line}\n")).unwrap_err();
            assert_eq!(told, [TokenMistake { line: 3, what: what.to_owned() }], "{line}");
        }
        for name in ["10.0.0.1", "::1", "-a", "a/b", "é", &"a".repeat(65)] {
            let told = Tokens::parse(&format!("{name} admin {A}")).unwrap_err();
            assert!(told[0].what.contains("is no name"), "{told:?}");
            assert!(NewToken::make(name, Role::Admin).is_err());
        }
        let all = Tokens::parse(&format!("a\nb admin {A}\nc\n")).unwrap_err();
        assert_eq!(all.iter().map(|mistake| mistake.line).collect::<Vec<_>>(), [1, 3]);
    }
}
