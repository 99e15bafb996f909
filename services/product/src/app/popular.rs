//! What is looked at most (write-behind): gateways count and report each second, Redis adds up. No decision depends on it and nothing
//! is written to the database: what is lost with a crash is a second of counts, with Redis an hour of them.

use std::sync::LazyLock;
use std::time::Duration;

use cache::redis::{Redis, Unavailable};
use kernel::{ProductId, clock};
use redis::Script;

/// Counts of this many seconds are one sorted set: products by their looks. The number is the format's.
const SLICE_S: i64 = 300;
/// An hour.
const SLICES: i64 = 12;
/// In seconds: as long as a sum may need it.
const SLICE_LIFE_S: i64 = SLICE_S * (SLICES + 1);
const SLICE_KEY: &str = "souk:views:1:";
/// The sum of the last slices, made anew when it is this old, by whichever copy is asked.
const SUM_KEY: &str = "souk:popular:1";
const SUM_LIFE_S: i64 = 5;
/// Command timeout of a count, for which nobody waits, and of a sum, for which a page does.
const COUNT_WITHIN: Duration = Duration::from_secs(1);
const WITHIN: Duration = Duration::from_millis(200);

/// `life_s, (product, looks)...`. What else is under the key has no place there, and goes.
static COUNT: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "if redis.call('TYPE', KEYS[1]).ok ~= 'zset' then redis.call('DEL', KEYS[1]) end
         for i = 2, #ARGV, 2 do redis.call('ZINCRBY', KEYS[1], ARGV[i + 1], ARGV[i]) end
         redis.call('EXPIRE', KEYS[1], ARGV[1])",
    )
});

/// `life_s, most`: products with their looks in all slices, which follow the sum's key.
static TOP: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "if redis.call('TYPE', KEYS[1]).ok ~= 'zset' then
             redis.call('DEL', KEYS[1])
             local slices = {}
             for i = 2, #KEYS do
                 if redis.call('TYPE', KEYS[i]).ok == 'zset' then slices[#slices + 1] = KEYS[i] end
             end
             if #slices == 0 then return {} end
             redis.call('ZUNIONSTORE', KEYS[1], #slices, unpack(slices))
             redis.call('EXPIRE', KEYS[1], ARGV[1])
         end
         return redis.call('ZREVRANGE', KEYS[1], 0, ARGV[2] - 1, 'WITHSCORES')",
    )
});

/// Looks at products. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Popular(Option<Redis>);

impl Popular {
    /// Without a Redis nothing is counted.
    pub(crate) fn new(redis: Option<Redis>) -> Self {
        Self(redis)
    }

    /// Adds looks. With Redis away they are not counted.
    pub(crate) async fn count(&self, views: &[(ProductId, u32)]) {
        let Some(redis) = self.0.as_ref().filter(|_| !views.is_empty()) else { return };
        let mut call = COUNT.key(slice(0));
        call.arg(SLICE_LIFE_S);
        for (product, looks) in views {
            call.arg(product.to_string()).arg(*looks);
        }
        let _: Result<(), Unavailable> =
            redis.run(COUNT_WITHIN, |mut to| async move { call.invoke_async(&mut to).await }).await;
    }

    /// The products that were looked at most within the last hour, most first; none while Redis is away.
    pub(crate) async fn top(&self, most: usize) -> Vec<(ProductId, i64)> {
        let Some(redis) = &self.0 else { return Vec::new() };
        let mut call = TOP.key(SUM_KEY);
        for back in 0..SLICES {
            call.key(slice(back));
        }
        call.arg(SUM_LIFE_S).arg(most);
        let read = redis.run(WITHIN, |mut to| async move {
            call.invoke_async::<Vec<(Vec<u8>, f64)>>(&mut to).await
        });
        let read = read.await.unwrap_or_default().into_iter();
        read.filter_map(|(id, looks)| {
            Some((std::str::from_utf8(&id).ok()?.parse().ok()?, looks as i64))
        })
        .collect()
    }
}

fn slice(back: i64) -> String {
    let number = clock::now().unix_timestamp() / SLICE_S - back;
    format!("{SLICE_KEY}{number}")
}
