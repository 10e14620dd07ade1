//! What every row costs in time: `cargo bench --bench time`, or `-- NAME` for some of them.
#![allow(missing_docs, reason = "Criterion's macro makes a public function")]

mod workloads;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};

fn rows(criterion: &mut Criterion) {
    for &(name, make) in workloads::ROWS {
        let row = make();
        let mut group = criterion.benchmark_group(name);
        group.throughput(Throughput::Bytes(row.size() as u64));
        group.bench_function("time", |bencher| bencher.iter(|| row.run()));
        group.finish();
        row.done().check();
    }
}

criterion_group!(benches, rows);
criterion_main!(benches);
