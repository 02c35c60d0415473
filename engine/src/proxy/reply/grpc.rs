//! Replies as gRPC clients read them: a status of gRPC's in the head, and no body.
//!
//! The numbers are those that Kong 3.10 gives for each status of HTTP, but for one: a failed
//! upstream is `UNAVAILABLE` to gRPC, as gRPC itself has it, since that is what clients try
//! again, and not `INTERNAL`.

/// A code of gRPC's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Code(u8);

impl Code {
    /// The client took its call back, or it did not come the way it must.
    pub(super) const CANCELED: Code = Code(1);

    /// What a status of HTTP means to gRPC.
    pub(super) const fn of(status: u16) -> Code {
        Code(match status {
            200..=299 => 0,
            401 => 16,
            403 => 7,
            404 => 5,
            409 => 6,
            429 => 8,
            499 => 1,
            400..=498 => 3,
            501 => 12,
            502 | 503 => 14,
            504 => 4,
            500..=599 => 13,
            _ => 2,
        })
    }

    /// As it is written in `grpc-status`.
    pub(super) fn number(self) -> String {
        self.0.to_string()
    }

    /// What it is called: Kong's `grpc-message` where it has no other.
    pub(super) const fn name(self) -> &'static str {
        match self.0 {
            0 => "OK",
            1 => "Canceled",
            3 => "InvalidArgument",
            4 => "DeadlineExceeded",
            5 => "NotFound",
            6 => "AlreadyExists",
            7 => "PermissionDenied",
            8 => "ResourceExhausted",
            12 => "Unimplemented",
            13 => "Internal",
            14 => "Unavailable",
            16 => "Unauthenticated",
            _ => "Unknown",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_of_ours_has_a_code() {
        for (status, code, name) in [
            (200, 0, "OK"),
            (301, 2, "Unknown"),
            (400, 3, "InvalidArgument"),
            (401, 16, "Unauthenticated"),
            (404, 5, "NotFound"),
            (408, 3, "InvalidArgument"),
            (413, 3, "InvalidArgument"),
            (429, 8, "ResourceExhausted"),
            (499, 1, "Canceled"),
            (500, 13, "Internal"),
            (502, 14, "Unavailable"),
            (503, 14, "Unavailable"),
            (504, 4, "DeadlineExceeded"),
            (505, 13, "Internal"),
        ] {
            assert_eq!((Code::of(status).0, Code::of(status).name()), (code, name), "{status}");
        }
    }
}
