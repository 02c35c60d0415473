//! Our values, as PostgreSQL wants them.

use std::borrow::Cow;
use std::error::Error;
use std::fmt::Write;

use boring::sha::sha256;
use bytes::BytesMut;
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};

use super::super::link::Value;

/// Longer text is not in an index as it is: PostgreSQL takes 2,704 bytes there at most.
const LONGEST: usize = 1024;

impl ToSql for Value<'_> {
    fn to_sql(
        &self,
        ty: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        match self {
            Value::Null => Ok(IsNull::Yes),
            Value::Int(number) => number.to_sql(ty, out),
            // It has no NUL.
            Value::Text(text) => text.replace('\0', "\u{fffd}").to_sql(ty, out),
            Value::Key(text) => key(text).to_sql(ty, out),
            Value::Bytes(bytes) => bytes.to_sql(ty, out),
            Value::Id(id) => id.to_sql(ty, out),
        }
    }

    fn accepts(ty: &Type) -> bool {
        [Type::INT8, Type::TEXT, Type::BYTEA, Type::UUID].contains(ty)
    }

    to_sql_checked!();
}

/// Text that the server can keep and index. It knows no NUL there, so that is escaped, and a backslash with
/// it; what is too long ends in its hash. Different texts stay different, and nobody reads them back:
/// an entity is its bytes.
fn key(text: &str) -> Cow<'_, str> {
    let escaped = if text.contains(['\0', '\\']) {
        Cow::Owned(text.replace('\\', "\\\\").replace('\0', "\\0"))
    } else {
        Cow::Borrowed(text)
    };
    if escaped.len() <= LONGEST {
        return escaped;
    }
    let mut short = escaped[..escaped.floor_char_boundary(LONGEST / 2)].to_owned();
    short.push_str("… sha256:");
    for byte in sha256(escaped.as_bytes()) {
        let _ = write!(short, "{byte:02x}"); // to memory
    }
    Cow::Owned(short)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_postgres_cannot_keep_is_told_apart_all_the_same() {
        assert_eq!(key("orders"), "orders");
        assert_eq!(key("a\0b"), "a\\0b");
        assert_eq!(key("a\\0b"), "a\\\\0b");
        let (long, other) = ("ä".repeat(5000), format!("{}b", "ä".repeat(5000)));
        assert!(key(&long).len() <= LONGEST);
        assert_ne!(key(&long), key(&other));
        assert!(key(&long).starts_with("ää"));
    }
}
