//! What this node is and how it fares, in the shape Kong's clients read.
//!
//! Where Kong tells of workers and Lua, this tells of the one process there is.

use std::collections::BTreeSet;
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::body::Body;
use http::{Response, StatusCode};
use model::Config;
use model::catalog::{Catalog, PluginType};
use model::entities::Plugin;
use serde_json::{Value, json as value};
use tokio::time::timeout;

use crate::api::Api;
use crate::api::call::Call;
use crate::api::json;
use crate::api::problem::Problem;
use crate::api::query::Query;

/// A database that has not answered by then counts as unreachable.
const PATIENCE: Duration = Duration::from_secs(2);

/// `GET /`
pub(crate) async fn root(call: Call) -> Result<Response<Body>, Problem> {
    let about = &call.api().about;
    let body = value!({
        "tagline": "Welcome to kong",
        "version": model::COMPAT,
        "gateway_version": model::VERSION,
        "edition": "community",
        "hostname": about.hostname,
        "node_id": about.node_id,
        "lua_version": "none",
        "timers": { "running": 0, "pending": 0 },
        "pids": { "master": process::id(), "workers": [process::id()] },
        "plugins": {
            "available_on_server": available(call.terms().catalog),
            "enabled_in_cluster": configured(&call.revision().config),
        },
        "configuration": about.configuration,
    });
    Ok(json(StatusCode::OK, &body))
}

/// The types of plugins there are.
fn available(catalog: Catalog) -> Value {
    let plugin = |of: &PluginType| {
        let told = value!({ "version": of.version, "priority": of.priority });
        (of.name.to_owned(), told)
    };
    Value::Object(catalog.iter().map(plugin).collect())
}

/// The types of plugins that are configured, switched on or not.
fn configured(config: &Config) -> BTreeSet<&str> {
    config.all::<Plugin>().iter().map(|plugin| plugin.name.as_str()).collect()
}

/// `GET /plugins/enabled`
pub(crate) async fn enabled(call: Call) -> Result<Response<Body>, Problem> {
    let names: Vec<_> = call.terms().catalog.iter().map(|plugin| plugin.name).collect();
    Ok(json(StatusCode::OK, &value!({ "enabled_plugins": names })))
}

/// `GET /status[?unit=m&scale=2]`
pub(crate) async fn status(call: Call) -> Result<Response<Body>, Problem> {
    let unit = Unit::asked(&call.query)?;
    let api = call.api();
    let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let (accepted, active) = (read(&api.traffic.accepted), read(&api.traffic.active));
    let writing = read(&api.traffic.in_flight);
    let mut body = value!({
        "server": {
            "connections_accepted": accepted,
            "connections_handled": accepted,
            "connections_active": active,
            "connections_reading": 0,
            "connections_writing": writing,
            "connections_waiting": active.saturating_sub(writing),
            "total_requests": read(&api.traffic.requests),
        },
        "memory": {
            "workers_lua_vms": [
                { "pid": process::id(), "http_allocated_gc": unit.show(resident_bytes()) },
            ],
            "lua_shared_dicts": {},
        },
        "configuration_hash": call.revision().id.hash,
        "admin_api": admin_api(api),
        "warnings": api.guard.rules().warnings,
    });
    if let Some(database) = &api.database {
        let answer = timeout(PATIENCE, database.is_reachable()).await;
        body["database"] = value!({ "reachable": answer.unwrap_or(false) });
    }
    Ok(json(StatusCode::OK, &body))
}

/// How this API is guarded.
fn admin_api(api: &Api) -> Value {
    let (unauthorized, forbidden) = api.guard.refused();
    value!({
        "needs_token": api.guard.rules().tokens.is_some(),
        "requests_unauthorized": unauthorized,
        "requests_forbidden": forbidden,
    })
}

/// `GET /endpoints`
pub(crate) async fn endpoints(call: Call) -> Result<Response<Body>, Problem> {
    let endpoints = call.api().endpoints.get();
    Ok(json(StatusCode::OK, &value!({ "data": endpoints.map_or(&[][..], Vec::as_slice) })))
}

/// How amounts of memory are shown.
struct Unit {
    letter: char,
    scale: usize,
}

impl Unit {
    fn asked(query: &Query) -> Result<Self, Problem> {
        const SCALE: &str = "scale must be an integer from 0 to 9";
        const UNIT: &str = "unit must be one of b, k, m and g";
        let scale = query.get("scale").map(|scale| scale.parse().ok().filter(|scale| *scale <= 9));
        let scale = scale.unwrap_or(Some(2)).ok_or(Problem::Malformed(SCALE))?;
        let letter = match query.get("unit").unwrap_or("m").to_ascii_lowercase().as_str() {
            "b" => 'b',
            "k" => 'k',
            "m" => 'm',
            "g" => 'g',
            _ => return Err(Problem::Malformed(UNIT)),
        };
        Ok(Self { letter, scale })
    }

    /// Bytes as a number, larger units as text: `12.34 MiB`.
    fn show(&self, bytes: u64) -> Value {
        let (power, name) = match self.letter {
            'k' => (1, "KiB"),
            'm' => (2, "MiB"),
            'g' => (3, "GiB"),
            _ => return bytes.into(),
        };
        let amount = bytes as f64 / 1024f64.powi(power);
        format!("{amount:.*} {name}", self.scale).into()
    }
}

/// What the process has in memory; 0 where the system does not say.
fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_shown_in_the_unit_asked_for() {
        check("", Some(value!("1.50 MiB")));
        check("unit=k", Some(value!("1536.00 KiB")));
        check("unit=K&scale=0", Some(value!("1536 KiB")));
        check("unit=g&scale=4", Some(value!("0.0015 GiB")));
        check("unit=b", Some(value!(1_572_864)));
        check("unit=t", None);
        check("scale=-1", None);
    }

    #[track_caller]
    fn check(query: &str, expected: Option<Value>) {
        let unit = Unit::asked(&Query::parse(query).unwrap());
        assert_eq!(unit.ok().map(|unit| unit.show(3 << 19)), expected, "{query}");
    }
}
