-- Ten rows or so by a column that decides no shard, in order.
sysbench.cmdline.options = {
   values = {"Number of distinct values of k", 1000},
}

function thread_init()
   connection = sysbench.sql.driver():connect()
end

function event()
   connection:query("SELECT id, k FROM sbtest1 WHERE k = " .. sysbench.rand.uniform(0, sysbench.opt.values - 1) .. " ORDER BY id")
end

function thread_done()
   connection:disconnect()
end
