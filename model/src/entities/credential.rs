//! What consumers are known by: one kind of credential for each plugin that asks for it.

mod acl;
mod basic_auth;
mod hmac_auth;
mod jwt;
mod key_auth;
mod oauth2;

pub use acl::Acl;
pub use basic_auth::BasicAuth;
pub use hmac_auth::HmacAuth;
pub use jwt::JwtSecret;
pub use key_auth::KeyAuth;
pub use oauth2::OAuth2;
