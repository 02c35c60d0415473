//! Which Rust types can be fields, and what each says about itself. The derive
//! asks only this, so a field's type is all it needs to know.

use std::collections::BTreeMap;

use serde_json::Value;
use uuid::Uuid;

use super::{Element, Kind, Rule};

/// A type a field can have.
pub trait Typed: Sized {
    /// The shape of its values.
    const KIND: Kind;

    /// What its values obey.
    const RULES: &'static [Rule] = &[];

    /// Whether null is not one of them.
    const REQUIRED: bool = true;

    /// The same, as the member of a list or a map.
    const ELEMENT: &'static Element = &Element { kind: Self::KIND, rules: Self::RULES };

    /// The value that null stands for, where there is one.
    fn null() -> Option<Self> {
        None
    }

    /// Whether this is it.
    fn is_null(&self) -> bool {
        false
    }

    /// The text of a value that can be unique.
    fn text(&self) -> Option<&str> {
        None
    }

    /// What a foreign key points at.
    fn target(&self) -> Option<Uuid> {
        None
    }

    /// Calls `visit` with the text of each member of a set.
    fn visit_members(&self, _visit: &mut dyn FnMut(&str)) {}
}

impl<T: Typed> Typed for Option<T> {
    const KIND: Kind = T::KIND;
    const RULES: &'static [Rule] = T::RULES;
    const REQUIRED: bool = false;

    fn null() -> Option<Self> {
        Some(None)
    }

    fn is_null(&self) -> bool {
        self.is_none()
    }

    fn text(&self) -> Option<&str> {
        self.as_ref().and_then(T::text)
    }

    fn target(&self) -> Option<Uuid> {
        self.as_ref().and_then(T::target)
    }

    fn visit_members(&self, visit: &mut dyn FnMut(&str)) {
        if let Some(value) = self {
            value.visit_members(visit);
        }
    }
}

impl Typed for bool {
    const KIND: Kind = Kind::Boolean;
}

impl Typed for String {
    const KIND: Kind = Kind::String;

    fn text(&self) -> Option<&str> {
        Some(self)
    }
}

impl Typed for i64 {
    const KIND: Kind = Kind::Integer;
}

macro_rules! integers {
    ($($integer:ty)*) => {
        $(
            impl Typed for $integer {
                const KIND: Kind = Kind::Integer;
                const RULES: &'static [Rule] =
                    &[Rule::Between(<$integer>::MIN as i64, <$integer>::MAX as i64)];
            }
        )*
    };
}

integers! { u8 u16 u32 i32 }

impl<T: Typed> Typed for Vec<T> {
    const KIND: Kind = Kind::Array(T::ELEMENT);
}

impl<K: Typed + Ord, V: Typed> Typed for BTreeMap<K, V> {
    const KIND: Kind = Kind::Map { keys: K::ELEMENT, values: V::ELEMENT };
}

impl Typed for Value {
    const KIND: Kind = Kind::Json;
    const REQUIRED: bool = false;

    fn null() -> Option<Self> {
        Some(Value::Null)
    }

    fn is_null(&self) -> bool {
        Value::is_null(self)
    }
}
