//! Connects sources of configuration to their sinks, by role. The program on one screen.

mod bind; // listeners that are not the workers'
mod convert; // our options → those of each crate
mod initial; // what a data plane starts from
mod node; // what each role says of itself
mod signals; // when to stop, and what a reload changes

use std::sync::Arc;
use std::time::Duration;

use engine::Engine;
use model::vitals::{NoVitals, Verdict};
use tokio::sync::watch;

use crate::notify;
use crate::options::{Admin, ClusterClient, Database, Declarative, Options, Role};
use crate::status;
use crate::telemetry::Telemetry;
use bind::Binder;
pub use convert::database;
use node::{ControlPlane, DataPlane, Traditional};
use signals::Stop;
pub use signals::{Signals, Starting};

/// Runs the node until it is told to stop. An error is one of starting: what runs, runs.
pub async fn run(
    options: Options,
    telemetry: &Telemetry,
    mut signals: Signals,
) -> anyhow::Result<()> {
    match &options.role {
        Role::Traditional { admin, proxy } => {
            let mut binder = Binder::default();
            let api = binder.bind("admin_listen", &admin.listen);
            let status = binder.bind("status_listen", &options.status);
            binder.probe("proxy_listen", &proxy.listen);
            binder.probe("stream_listen", &proxy.streams.listen);
            binder.finish()?;

            let mut admin =
                admin::Server::start(convert::admin(&options, admin, api, telemetry)).await?;
            let engine =
                Engine::start(convert::engine(&options, proxy, telemetry), admin.revisions())?;
            admin.observe(Arc::new(NoVitals));
            admin.follow(engine.verdicts());
            convert::count_dropped(&engine, telemetry);
            let node = Traditional::new(admin.reachable(), &engine);
            let _status = status::serve(status, Arc::new(node), telemetry.logs())?;
            settled(engine.verdicts()).await;

            let stop = signals
                .serving(&options, telemetry, async |next| begin_again(&admin, next).await)
                .await;
            end(signals, stop, async |patience| {
                engine.shutdown(patience).await;
                admin.shutdown(patience).await;
            })
            .await;
        }
        Role::ControlPlane { admin, cluster } => {
            let mut binder = Binder::default();
            let api = binder.bind("admin_listen", &admin.listen);
            let link = binder.bind("cluster_listen", &cluster.listen);
            let status = binder.bind("status_listen", &options.status);
            binder.finish()?;

            let purge_delay = admin.purge_delay;
            let mut admin =
                admin::Server::start(convert::admin(&options, admin, api, telemetry)).await?;
            let (trust, steps) = (admin.trust(), admin.take_steps());
            let server =
                convert::cluster_server(cluster, link, trust, steps, options.routing, purge_delay);
            let server = cluster::Server::start(server, admin.revisions())?;
            admin.observe(server.vitals());
            admin.heed(server.ahead());
            let node = ControlPlane::new(&mut admin, server.vitals());
            let _status = status::serve(status, Arc::new(node), telemetry.logs())?;

            let stop = signals.serving(&options, telemetry, async |_| ()).await;
            end(signals, stop, async |patience| {
                admin.shutdown(patience).await; // no more changes, then no more links
                server.shutdown().await;
            })
            .await;
        }
        Role::DataPlane { cluster, proxy, fallback } => {
            let mut binder = Binder::default();
            let status = binder.bind("status_listen", &options.status);
            binder.probe("proxy_listen", &proxy.listen);
            binder.probe("stream_listen", &proxy.streams.listen);
            binder.finish()?;

            let (client, set_aside) = connect(&options, cluster, fallback.as_ref())?;
            let engine =
                Engine::start(convert::engine(&options, proxy, telemetry), client.revisions())?;
            client.report(engine.verdicts());
            convert::count_dropped(&engine, telemetry);
            let node = DataPlane::new(&client, &engine, set_aside);
            let _status = status::serve(status, Arc::new(node), telemetry.logs())?;
            settled(engine.verdicts()).await;

            let stop = signals.serving(&options, telemetry, async |_| ()).await;
            end(signals, stop, async |patience| {
                engine.shutdown(patience).await; // the link stays up: the control plane sees us drain
                client.shutdown().await;
            })
            .await;
        }
    }
    Ok(())
}

/// A data plane's end of the link, with what it starts from, and what was wrong with its cache.
fn connect(
    options: &Options,
    cluster: &ClusterClient,
    fallback: Option<&Declarative>,
) -> anyhow::Result<(cluster::Client, cluster::cache::Aside)> {
    let identity = cluster::Identity::load_or_create(&options.prefix)?;
    let start = initial::initial(options, cluster, fallback)?;
    let set_aside = start.set_aside.clone();
    let client = convert::cluster_client(cluster, identity, start, options.routing);
    Ok((cluster::Client::start(client)?, set_aside))
}

/// Reads its document again, in the place of whatever was posted since.
async fn begin_again(admin: &admin::Server, next: &Options) {
    let Role::Traditional { admin: Admin { database: Database::Off(Some(document)), .. }, .. } =
        &next.role
    else {
        return;
    };
    match admin.begin_again(document).await {
        Ok(true) => tracing::info!("reload: the configuration is declarative_config's again"),
        Ok(false) => {}
        Err(error) => tracing::error!("reload: declarative_config is not taken: {error}"),
    }
}

/// Waits until the workers serve what there was at start, or have refused it.
async fn settled(mut verdicts: watch::Receiver<Verdict>) {
    let settled = |verdict: &Verdict| verdict.effective.is_some() || verdict.refused.is_some();
    let _ = verdicts.wait_for(settled).await; // an engine that is gone has said why
}

/// Ends what runs: at once, or when everything in flight is finished or a second signal comes.
async fn end(mut signals: Signals, stop: Stop, shutdown: impl AsyncFnOnce(Duration)) {
    notify::stopping();
    match stop {
        Stop::AtOnce => shutdown(Duration::ZERO).await,
        Stop::Graceful => tokio::select! {
            () = shutdown(Duration::MAX) => {}
            () = signals.at_once() => tracing::warn!("told to stop at once: cutting what is in flight"),
        },
    }
    tracing::info!("stopped");
}
