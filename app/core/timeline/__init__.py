"""Where a job's time goes, and its course: kept with changes of its status, and by the tick in between."""
