//! Whose pages a browser lets read the answers (the CORS protocol of the Fetch standard), as Kong
//! decides it.

use http::HeaderValue;

/// The origins of the web interface (`admin_gui_url`). Without any, every page may read answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origins(Vec<HeaderValue>);

impl Origins {
    /// Those of these addresses: scheme, host, and port where it is not the scheme's own.
    ///
    /// # Errors
    /// The first that is no address of a page.
    pub fn of<'a>(urls: impl IntoIterator<Item = &'a str>) -> Result<Self, &'a str> {
        urls.into_iter().map(|url| origin(url).ok_or(url)).collect::<Result<_, _>>().map(Self)
    }

    /// Whether none is named.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether this is one of them.
    pub(crate) fn has(&self, origin: &HeaderValue) -> bool {
        self.0.contains(origin)
    }

    /// What a page of this origin is answered.
    pub(super) fn answered_to(&self, origin: Option<&HeaderValue>) -> HeaderValue {
        match (self.0.first(), origin) {
            (None, Some(origin)) => origin.clone(),
            (None, None) => HeaderValue::from_static("*"),
            (Some(_), Some(origin)) if self.has(origin) => origin.clone(),
            (Some(first), _) => first.clone(),
        }
    }
}

/// As browsers write it.
fn origin(url: &str) -> Option<HeaderValue> {
    let url: http::Uri = url.trim().parse().ok()?;
    let (scheme, host) = (url.scheme_str()?.to_ascii_lowercase(), url.host()?.to_ascii_lowercase());
    let own = match scheme.as_str() {
        "http" => 80,
        "https" => 443,
        _ => return None,
    };
    let port = url.port_u16().filter(|port| *port != own);
    let port = port.map(|port| format!(":{port}")).unwrap_or_default();
    HeaderValue::try_from(format!("{scheme}://{host}{port}")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_answered_its_own_origin_or_the_first() {
        let gui = ["https://Manager.test:443/gui", "http://10.0.0.1:8002"];
        for (urls, asked, answered) in [
            (&[][..], None, "*"),
            (&[], Some("https://evil.test"), "https://evil.test"),
            (&gui, None, "https://manager.test"),
            (&gui, Some("https://manager.test"), "https://manager.test"),
            (&gui, Some("http://10.0.0.1:8002"), "http://10.0.0.1:8002"),
            (&gui, Some("http://manager.test"), "https://manager.test"),
            (&gui, Some("https://evil.test"), "https://manager.test"),
        ] {
            let origins = Origins::of(urls.iter().copied()).unwrap();
            let asked = asked.map(HeaderValue::from_static);
            assert_eq!(origins.answered_to(asked.as_ref()), answered, "{urls:?} {asked:?}");
        }
    }

    #[test]
    fn what_is_no_page_has_no_origin() {
        for url in ["manager.test", "ftp://manager.test", "http://", "/gui", ""] {
            assert_eq!(Origins::of([url]), Err(url));
        }
    }
}
