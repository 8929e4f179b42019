//! Machines that were seen and not declared.

use super::rows::{column, micros, unreadable};
use super::{Store, StoreError, Writer};
use crate::model::view::DiscoveredView;

fn refused(source: sqlx::Error) -> StoreError {
    StoreError::Statement {
        what: "discovered machines",
        source,
    }
}

impl Writer {
    /// Stores what is known of these machines, and drops those seen longest ago beyond `most`.
    ///
    /// # Errors
    /// Nothing of it is stored.
    pub async fn discovered(
        &mut self,
        machines: &[DiscoveredView],
        most: u32,
    ) -> Result<(), StoreError> {
        self.begin().await?;
        let done = self.seen(machines, most).await;
        self.end(done).await
    }

    async fn seen(&mut self, machines: &[DiscoveredView], most: u32) -> Result<(), StoreError> {
        for machine in machines {
            let what = serde_json::to_string(machine).map_err(|e| unreadable("a machine", e))?;
            sqlx::query("INSERT OR REPLACE INTO discovered (mac, seen, what) VALUES (?, ?, ?)")
                .bind(machine.mac.to_string())
                .bind(micros(machine.last_seen))
                .bind(what)
                .execute(&mut self.connection)
                .await
                .map_err(refused)?;
        }
        sqlx::query(
            "DELETE FROM discovered WHERE mac NOT IN
               (SELECT mac FROM discovered ORDER BY seen DESC LIMIT ?)",
        )
        .bind(i64::from(most))
        .execute(&mut self.connection)
        .await
        .map_err(refused)?;
        Ok(())
    }
}

impl Store {
    /// The machines that were seen before. One that cannot be read is left out.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn discovered(&self) -> Result<Vec<DiscoveredView>, StoreError> {
        let rows = sqlx::query("SELECT what FROM discovered ORDER BY seen DESC")
            .fetch_all(&self.pool)
            .await
            .map_err(refused)?;
        let read = rows.iter().map(|row| {
            let what: String = column(row, "what")?;
            serde_json::from_str(&what).map_err(|e| unreadable("a machine", e))
        });
        Ok(read.filter_map(Result::ok).collect())
    }
}
