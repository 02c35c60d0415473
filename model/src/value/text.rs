//! How a validated string type is declared: `text! { Name, admit }` makes a
//! newtype that only strings `admit` lets in can become. `secret!` makes one
//! that is never printed.

macro_rules! text {
    ($(#[$doc:meta])* $name:ident, $admit:path $(, $rule:expr)*) => {
        admitted! { $(#[$doc])* $name, $admit $(, $rule)* }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                std::fmt::Debug::fmt(&self.0, f)
            }
        }
    };
}

macro_rules! secret {
    ($(#[$doc:meta])* $name:ident, $admit:path $(, $rule:expr)*) => {
        admitted! { $(#[$doc])* $name, $admit $(, $rule)* }

        /// Never shows the text.
        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(concat!(stringify!($name), "(…)"))
            }
        }
    };
}

macro_rules! admitted {
    ($(#[$doc:meta])* $name:ident, $admit:path $(, $rule:expr)*) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Box<str>);

        impl $name {
            /// The text, as it was written.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::schema::Invalid;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                $admit(text).map(|()| Self(text.into()))
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = Box::<str>::deserialize(deserializer)?;
                $admit(&text).map_err(serde::de::Error::custom)?;
                Ok(Self(text))
            }
        }

        impl $crate::schema::Typed for $name {
            const KIND: $crate::schema::Kind = $crate::schema::Kind::String;
            const RULES: &'static [$crate::schema::Rule] =
                &[$($rule,)* $crate::schema::Rule::Parses($admit)];

            fn text(&self) -> Option<&str> {
                Some(&self.0)
            }
        }
    };
}
