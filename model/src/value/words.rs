//! How a closed set of words is declared: `words! { Name { Variant = "word" } }`
//! makes an enum that is those words on the wire.

/// Declares an enum whose variants are words on the wire.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
        )]
        pub enum $name {
            $($(#[$variant_doc])* #[serde(rename = $word)] $variant),*
        }

        impl $name {
            /// Every one there is, in the order messages list them.
            pub const ALL: &'static [$name] = &[$($name::$variant),*];

            /// The word for it.
            pub const fn as_str(self) -> &'static str {
                match self { $($name::$variant => $word),* }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl $crate::schema::Typed for $name {
            const KIND: $crate::schema::Kind = $crate::schema::Kind::String;
            const RULES: &'static [$crate::schema::Rule] =
                &[$crate::schema::Rule::OneOf(&[$($crate::schema::Literal::Text($word)),*])];

            fn text(&self) -> Option<&str> {
                Some(self.as_str())
            }
        }
    };
}
