#
# The gate of one leader in async: every way to write is refused while it is closed,
# and passes while it is open; an answer that would come too late never comes.
# The test plays the watchdog.  101_gate_sync.pl has the count of voters.
#
use strict;
use warnings;

use POSIX ();
use RegentClient;
use RegentCluster qw(wait_until run_command);
use RegentGate;
use Test::More;
use Time::HiRes qw(sleep time);

my $bindir = $RegentCluster::bindir;
my $parallel = $RegentCluster::major >= 16 ? 'debug_parallel_query' : 'force_parallel_mode';
my $c = RegentCluster->new(nodes => 1, no_sshd => 1,
	conf => $RegentGate::conf . "autovacuum_naptime = 1s\nmax_logical_replication_workers = 4\nmax_worker_processes = 16\n");
my $n = $c->node('n1');

# A server without the extension: a publisher, a foreign server, another host to connect to.
my $other = RegentCluster->new(nodes => 1, no_sshd => 1, extension => 0, conf => "wal_level = logical\n");
my $o = $other->node('n1');

sub client { return RegentClient->new(host => $n->{host}, port => $n->{port}, @_) }
sub sql { return $c->sql('n1', @_) }
sub rows { return sql("SELECT count(*) FROM t WHERE v = '$_[0]'") }
sub acknowledged { return RegentClient::is_acknowledged($_[0]) }

# ------------------------------------------------ before there is a rule

is(sql('SELECT gate, writable FROM regent.node_status()', may_fail => 1), undef, 'no extension yet');
my $g = RegentGate->new(cluster => $c, node => 'n1', voters => '{n1,n2}');
is($g->status('gate, writable, lease_left_ms'), 'open|t|', 'a server that is being adopted may write, without a lease');

sub adopting
{
	my ($value) = @_;
	sql("ALTER SYSTEM SET regent.adopting = '$value'");
	sql('SELECT pg_reload_conf()');
	wait_until(sub { sql('SHOW regent.adopting') eq $value }, 20, 'regent.adopting to be read');
	return $g->status('gate');
}
sub ahead { return POSIX::strftime('%Y-%m-%d %H:%M:%S', gmtime(time() + 3600 * $_[0])) . ($_[1] // '+00') }
is(adopting(''), 'closed', 'without regent.adopting a server that has no rule is closed');
my $none = client()->query('CREATE TABLE early (a int)');
is(RegentClient::sqlstate($none), '25006', 'and says so');
like($none->{errors}[0]{D} . $none->{errors}[0]{H}, qr/because it holds no rule\.Make it a node of a cluster with "regent init"/, 'with a hint');
is(adopting('2001-01-01 00:00:00+00'), 'closed', 'an end time that is over');
is(adopting(ahead(48)), 'closed', 'an end time more than a day ahead does not count');
is(adopting(ahead(12)), 'open', 'half a day ahead does');
sql("ALTER SYSTEM SET log_timezone = 'UTC'");
is(adopting(ahead(6, '')), 'open', 'without a zone it is in the zone of the log');
is(sql("SELECT set_config('TimeZone', '<X>-140', false); SELECT gate FROM regent.node_status()"), "<X>-140\nopen",
	'which a session does not change');
is(adopting(RegentCluster::adopting_until()), 'open', 'and the first one again');

sql(<<'END');
CREATE TABLE t (id bigserial PRIMARY KEY, v text);
CREATE TABLE other_t (a int);
CREATE MATERIALIZED VIEW m AS SELECT count(*) FROM t;
CREATE SEQUENCE s;
CREATE FUNCTION inserts() RETURNS int LANGUAGE plpgsql AS $$ BEGIN INSERT INTO t (v) VALUES ('function'); RETURN 1; END $$;
CREATE PROCEDURE commits(text) LANGUAGE plpgsql AS $$ BEGIN INSERT INTO t (v) VALUES ($1); COMMIT; END $$;
-- returns when the gate has closed
CREATE FUNCTION wait_closed() RETURNS int LANGUAGE plpgsql AS $$
DECLARE nothing text; last timestamptz := clock_timestamp() + '60 s';
BEGIN
	WHILE (regent.node_status()).gate <> 'closed' AND clock_timestamp() < last LOOP nothing := pg_sleep(0.01)::text; END LOOP;
	RETURN 1;
END $$;
CREATE FUNCTION wait_closed_volatile() RETURNS int LANGUAGE plpgsql AS $$ BEGIN RETURN wait_closed(); END $$;
CREATE PROCEDURE commits_early(text, speaks bool DEFAULT false) LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO t (v) VALUES ($1);
	COMMIT;
	IF speaks THEN RAISE WARNING 'I have committed'; END IF;
	PERFORM wait_closed();
END $$;
INSERT INTO t (v) VALUES ('first');
BEGIN; INSERT INTO t (v) VALUES ('prepared'); PREPARE TRANSACTION 'p1';
BEGIN; INSERT INTO t (v) VALUES ('prepared'); PREPARE TRANSACTION 'p2';
END
$other->sql('n1', 'CREATE TABLE far (v text); CREATE PUBLICATION p FOR TABLE far');
sql(<<"END");
CREATE TABLE far (v text);
CREATE SUBSCRIPTION sub CONNECTION 'host=$o->{host} port=$o->{port} user=postgres dbname=postgres' PUBLICATION p;
CREATE EXTENSION postgres_fdw;
CREATE SERVER fs FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '$o->{host}', port '$o->{port}', dbname 'postgres');
CREATE USER MAPPING FOR postgres SERVER fs OPTIONS (user 'postgres');
CREATE FOREIGN TABLE elsewhere (v text) SERVER fs OPTIONS (table_name 'far');
END
sql('CREATE DATABASE doomed');
$other->sql('n1', "INSERT INTO far VALUES ('one')");
wait_until(sub { sql("SELECT count(*) FROM far WHERE v = 'one'") == 1 }, 30, 'the subscription to work');

# ------------------------------------------------ closed

$g->rule('1 hour');
is($g->status('gate, writable, lease_left_ms'), 'closed|f|', 'with a rule and without a lease the gate is closed');
my $place = $c->dir . '/place';
mkdir $place;

my %writes = (
	insert => "INSERT INTO t (v) VALUES ('closed')",
	update => "UPDATE t SET v = 'closed'",
	delete => 'DELETE FROM t',
	merge => "MERGE INTO t USING (SELECT 1) x ON false WHEN NOT MATCHED THEN INSERT (v) VALUES ('closed')",
	$RegentCluster::major < 17 ? () : (
		'merge that returns' => "MERGE INTO t USING (SELECT 1) x ON false WHEN NOT MATCHED THEN INSERT (v) VALUES ('closed') RETURNING 1",
		'merging CTE' => "WITH w AS (MERGE INTO t USING (SELECT 1) x ON false WHEN NOT MATCHED THEN INSERT (v) VALUES ('closed') RETURNING 1) SELECT * FROM w",
		'logical message with flush' => "SELECT pg_logical_emit_message(false, 'a', 'b', true)"),
	'modifying CTE' => "WITH w AS (INSERT INTO t (v) VALUES ('closed') RETURNING 1) SELECT * FROM w",
	'row locks' => 'SELECT 1 FROM t FOR UPDATE',
	truncate => 'TRUNCATE t',
	'create table' => 'CREATE TABLE closed (a int)',
	'create temp table' => 'CREATE TEMP TABLE closed (a int)',
	'create table as' => 'CREATE TABLE closed AS SELECT 1',
	'select into' => 'SELECT 1 INTO closed',
	'drop table' => 'DROP TABLE other_t',
	'alter table' => 'ALTER TABLE t ADD COLUMN closed int',
	'create index' => 'CREATE INDEX ON t (v)',
	'create index concurrently' => 'CREATE INDEX CONCURRENTLY ON t (v)',
	reindex => 'REINDEX TABLE t',
	'reindex concurrently' => 'REINDEX TABLE CONCURRENTLY t',
	vacuum => 'VACUUM t',
	'vacuum full' => 'VACUUM FULL t',
	analyze => 'ANALYZE t',
	cluster => 'CLUSTER t USING t_pkey',
	'refresh' => 'REFRESH MATERIALIZED VIEW m',
	'function' => 'SELECT inserts()',
	'do' => "DO \$\$ BEGIN INSERT INTO t (v) VALUES ('closed'); END \$\$",
	'procedure with commit' => "CALL commits('closed')",
	'explain analyze' => "EXPLAIN ANALYZE INSERT INTO t (v) VALUES ('closed')",
	'prepared statement' => "PREPARE i AS INSERT INTO t (v) VALUES ('closed'); EXECUTE i",
	'transaction' => "BEGIN; INSERT INTO t (v) VALUES ('closed'); COMMIT",
	'transaction with an xid only' => 'BEGIN; SELECT txid_current(); COMMIT',
	'savepoint' => "BEGIN; SAVEPOINT a; INSERT INTO t (v) VALUES ('closed'); RELEASE a; COMMIT",
	'cursor for update' => 'BEGIN; DECLARE k CURSOR FOR SELECT 1 FROM t FOR UPDATE; FETCH k; COMMIT',
	'prepare transaction' => "BEGIN; SELECT txid_current(); PREPARE TRANSACTION 'closed'",
	'prepare transaction without an xid' => "BEGIN; SELECT 1; PREPARE TRANSACTION 'closed'",
	'commit prepared' => "COMMIT PREPARED 'p1'",
	'rollback prepared' => "ROLLBACK PREPARED 'p1'",
	'sequence' => "SELECT nextval('s')",
	'setval' => "SELECT setval('s', 7)",
	'large object' => 'SELECT lo_create(0)',
	'logical message' => "SELECT pg_logical_emit_message(false, 'a', 'b')",
	'logical message, binary' => "SELECT pg_logical_emit_message(false, 'a', 'b'::bytea)",
	'logical message of a transaction' => "SELECT pg_logical_emit_message(true, 'a', 'b')",
	'notify' => 'NOTIFY a',
	'pg_notify' => "SELECT pg_notify('a', 'b')",
	'restore point' => "SELECT pg_create_restore_point('a')",
	'create database' => 'CREATE DATABASE closed',
	'drop database' => 'DROP DATABASE doomed',
	'alter database' => 'ALTER DATABASE doomed SET TABLESPACE pg_default',
	'create tablespace' => "CREATE TABLESPACE closed LOCATION '$place'",
	'create role' => 'CREATE ROLE closed',
	'grant' => 'GRANT SELECT ON t TO regent_operator',
	'alter role set' => "ALTER ROLE postgres SET work_mem = '5MB'",
	'comment' => "COMMENT ON TABLE t IS 'closed'",
	'create extension' => 'CREATE EXTENSION hstore',
	'foreign table' => "INSERT INTO elsewhere VALUES ('closed')",
	'drop subscription' => 'DROP SUBSCRIPTION sub',
);

sub refused
{
	my ($name, $r, $why) = @_;
	my $e = $r->{errors}[0] || {};
	ok(RegentClient::sqlstate($r) eq '25006' && $e->{M} eq 'node "n1" may not write now' && $e->{D} =~ $why
			&& ($e->{H} // '') ne '' && ($e->{W} // '') !~ /remote/, "refused: $name")
		or diag explain $r;
}

my $s = client();
for my $name (sort keys %writes)
{
	my $r = $s->query($writes{$name});
	refused($name, $r, qr/^Its gate is closed because it has had no lease since it was started\./);
	$s->query('ROLLBACK') unless ($r->{ready} // '') eq 'I';
}
$s->send_query('COPY t (v) FROM STDIN');
refused('copy', $s->result, qr/no lease/);
refused('pipeline', do { $s->send_pipeline('BEGIN', "INSERT INTO t (v) VALUES ('closed')", 'COMMIT'); $s->result }, qr/no lease/);
$s->query('ROLLBACK');

is(sql("SELECT string_agg(v, ',' ORDER BY id) FROM t"), 'first', 'and nothing was written');
is(sql('SELECT count(*) FROM pg_prepared_xacts'), 2, 'the prepared transactions are still there');
is(sql("SELECT count(*) FROM pg_database WHERE datname = 'doomed'"), 1, 'so is the database');
is($other->sql('n1', "SELECT count(*) FROM far WHERE v = 'closed'"), 0, 'nothing went to the foreign server');

my %reads = (
	select => 'SELECT count(*) FROM t',
	'cursor' => 'BEGIN; DECLARE k CURSOR FOR SELECT 1 FROM t; FETCH k; COMMIT',
	'explain' => "EXPLAIN INSERT INTO t (v) VALUES ('closed')",
	'copy to' => 'COPY (SELECT 1) TO STDOUT',
	'lock' => 'BEGIN; LOCK TABLE t IN ACCESS SHARE MODE; COMMIT',
	'listen' => 'LISTEN a',
	'set' => "SET work_mem = '5MB'",
	'checkpoint' => 'CHECKPOINT',
	'alter system' => "ALTER SYSTEM SET log_min_duration_statement = '1h'",
	'discard' => 'DISCARD ALL',
	'parallel query' => "SET $parallel = on; SELECT count(*) FROM pg_class; RESET $parallel",
	'rollback' => 'BEGIN; SELECT txid_current(); ROLLBACK',
);
for my $name (sort keys %reads)
{
	my $r = $s->query($reads{$name});
	ok(acknowledged($r), "passes: $name") or diag explain $r;
}

$other->sql('n1', "INSERT INTO far VALUES ('two')");
wait_until(sub { RegentCluster::slurp($n->{log}) =~ /logical replication (?:apply )?worker\s+ERROR:  node "n1" may not write now/ },
	30, 'the apply worker to be refused');
is(sql("SELECT count(*) FROM far WHERE v = 'two'"), 0, 'an apply worker writes nothing');
ok($other->sql('n1', "SELECT coalesce(bool_and(confirmed_flush_lsn < pg_current_wal_lsn()), true) FROM pg_replication_slots") eq 't',
	'and confirms nothing to its publisher');

# what sessions see
is($s->value('SHOW default_transaction_read_only'), 'on', 'default_transaction_read_only reads on');
is($s->value('SHOW transaction_read_only'), 'on', 'transaction_read_only reads on');
is(client()->{parameters}{default_transaction_read_only}, 'on', 'a new session is told so');
is($s->value("SELECT source FROM pg_settings WHERE name = 'default_transaction_read_only'"), 'default', 'nothing was set for it');

sub which_host
{
	my ($rc, $out, $err) = run_command([ "$bindir/psql", '-XqAtd',
		"host=$n->{host},$o->{host} port=$n->{port},$o->{port} user=postgres dbname=postgres target_session_attrs=read-write connect_timeout=5",
		'-c', 'SHOW port' ]);
	chomp $out;
	return $out || $err;
}
is(which_host(), $o->{port}, 'target_session_attrs=read-write moves on to the next host');

# autovacuum is exempt, with an xid (ANALYZE) too
$g->open;
sql('CREATE TABLE dead (a int) WITH (autovacuum_vacuum_threshold = 1, autovacuum_analyze_threshold = 1, autovacuum_enabled = off)');
sql('INSERT INTO dead SELECT generate_series(1, 1000); DELETE FROM dead WHERE a % 2 = 0; ALTER TABLE dead SET (autovacuum_enabled = on)');
$g->close;
wait_until(sub { sql("SELECT coalesce(autoanalyze_count, 0) + coalesce(autovacuum_count, 0) FROM pg_stat_user_tables WHERE relname = 'dead'") >= 2 },
	60, 'autovacuum to work while the gate is closed');
ok(sql("SELECT count(*) FROM pg_statistic WHERE starelid = 'dead'::regclass") > 0, 'autovacuum commits while the gate is closed');

# ------------------------------------------------ open

my $before = client();
is($before->{parameters}{default_transaction_read_only}, 'on', 'a session opened while closed');
$g->open;
is($g->status('gate, writable, lease_left_ms BETWEEN 3500000 AND 3600000'), 'open|t|t', 'a grant opens it');
ok(acknowledged($before->query("INSERT INTO t (v) VALUES ('session')")), 'writes after it has opened, without a reconnect');
is($before->value('SHOW default_transaction_read_only'), 'off', 'and sees that it may');
is(which_host(), $n->{port}, 'target_session_attrs=read-write finds the leader');
wait_until(sub { sql("SELECT count(*) FROM far WHERE v = 'two'") == 1 }, 60, 'the apply worker to go on');

ok(acknowledged($s->query("ROLLBACK PREPARED 'p2'")), 'passes: rollback prepared');
for my $name ('commit prepared', grep { $_ ne 'commit prepared' } sort keys %writes)
{
	next if $name =~ /^(?:drop|delete|truncate|prepare|rollback prepared|create temp|update)/;
	my $sql = $writes{$name};
	$sql =~ s/\bclosed\b/"o" . ++$c->{counter}/e if $sql =~ /^(?:CREATE|SELECT 1 INTO)/;
	my $r = $s->query($sql);
	ok(acknowledged($r), "passes: $name") or diag explain $r;
	$s->query('ROLLBACK') unless ($r->{ready} // '') eq 'I';
	$s->query('DEALLOCATE ALL');
}
$s->send_query('COPY t (v) FROM STDIN');
$s->result(20, stop_at => 'G');
$s->send_copy("copied\n");
ok(acknowledged($s->result), 'passes: copy');
ok(acknowledged($s->query('DROP DATABASE doomed')), 'passes: drop database');
is(rows('prepared'), 1, 'commit prepared has committed');

# locks on the rules
for my $lock ('LOCK TABLE regent.rule', 'BEGIN; LOCK TABLE regent.rule IN SHARE UPDATE EXCLUSIVE MODE')
{
	is(RegentClient::sqlstate($s->query($lock)), '42501', "refused: $lock");
	$s->query('ROLLBACK');
}
sql('CREATE VIEW over AS SELECT * FROM regent.rule');
is(RegentClient::sqlstate($s->query('BEGIN; LOCK TABLE over')), '42501', 'refused: LOCK TABLE on a view of the rules');
$s->query('ROLLBACK');
is(RegentClient::sqlstate($s->query("BEGIN; SELECT count(*) FROM regent.rule; PREPARE TRANSACTION 'holds'")), '42501',
	'refused: PREPARE TRANSACTION that holds a lock on the rules');
$s->query('ROLLBACK');

# a dump by several sessions locks every table; the rules do not go along
my @dumped = run_command([ "$bindir/pg_dump", '-Fd', '-j2', '-f', $c->dir . '/dump', '-d', $c->conninfo('n1') ], timeout => 120);
is($dumped[0], 0, 'pg_dump -j2') or diag($dumped[2]);
unlike((run_command([ "$bindir/pg_restore", '-l', $c->dir . '/dump' ]))[1], qr/TABLE DATA regent/, 'without the rules');

# ------------------------------------------------ the lease ends in between

$s->query("BEGIN; INSERT INTO t (v) VALUES ('begun')");
$g->close;
refused('a transaction that began in time', $s->query('COMMIT'), qr/its lease has run out\. It ended \d+\.\d s ago\./);
is(rows('begun'), 0, 'and it is rolled back');

# A backend that is frozen after the first check and before its commit is told:
# with commit_delay it waits for company inside of the commit, holding the lock of
# the WAL, so nobody can write a rule meanwhile; the lease has to run out.
my ($frozen, $tries) = (0, 0);
while (!$frozen && $tries++ < 40)
{
	$g->open('1 s');
	my $f = client();
	$f->query("SET commit_delay = 100000; SET commit_siblings = 0; BEGIN; INSERT INTO t (v) VALUES ('frozen $tries')");
	$f->send_query('COMMIT');
	sleep(0.02 + 0.002 * ($tries % 10));
	kill('STOP', $f->{pid}) or last;
	$g->wait_closed(20);
	kill('CONT', $f->{pid});
	my $r = $f->result(20);
	if (rows("frozen $tries"))
	{
		# told before it was stopped, or never
		next if acknowledged($r);
		$frozen = 1;
		ok($r->{closed} && !@{ $r->{tags} } && !@{ $r->{errors} } && !defined $r->{ready},
			'frozen before it could say so: the connection ends without a word') or diag explain $r;
	}
	else
	{
		refused('frozen before its commit record', $r, qr/lease has run out/) if $tries == 1;
	}
}
ok($frozen, "a backend was frozen between its commit record and its answer (try $tries)");
like(RegentCluster::slurp($n->{log}), qr/ends a session of node "n1" that has committed and may not say so/, 'the log says it');

# answers that lie in the buffer, or are given at the end of what committed early
my %late = (
	'a commit within a message' => [ "BEGIN; INSERT INTO t (v) VALUES ('%'); COMMIT; SELECT wait_closed()" ],
	'a commit within a pipeline' => [ 'BEGIN', "INSERT INTO t (v) VALUES ('%')", 'COMMIT', 'SELECT wait_closed()' ],
	'a commit before an error' => [ "BEGIN; INSERT INTO t (v) VALUES ('%'); COMMIT; SELECT 1 / (wait_closed() - 1)" ],
	'a commit before many rows' => [ "BEGIN; INSERT INTO t (v) VALUES ('%'); COMMIT; SELECT wait_closed_volatile(), repeat('x', 100) FROM generate_series(1, 200)" ],
	'a procedure that commits early' => [ "CALL commits_early('%')" ],
	'a procedure that also says something' => [ "CALL commits_early('%', true)" ],
	'DO' => [ "DO \$\$ BEGIN INSERT INTO t (v) VALUES ('%'); COMMIT; PERFORM wait_closed(); END \$\$" ],
);
sub send_words
{
	my ($f, $v, @words) = @_;
	s/%/$v/ for @words;
	@words > 1 ? $f->send_pipeline(@words) : $f->send_query($words[0]);
}
for my $name (sort keys %late)
{
	my @words = @{ $late{$name} };
	$g->open('2 s');
	my $f = client();
	send_words($f, $name, @words);
	my $r = $f->result(60);
	ok($r->{closed} && !grep({ /COMMIT|CALL|DO/ } @{ $r->{tags} }) && !@{ $r->{errors} }, "$name: not told when the gate has closed meanwhile")
		or diag explain $r;
	is(rows($name), 1, "$name: its row is committed here");
}
$g->open;
for my $how ('one message', 'a pipeline')
{
	my $f = client();
	my @words = ('BEGIN', "INSERT INTO t (v) VALUES ('$how')", 'COMMIT', "SELECT repeat('x', 100) FROM generate_series(1, 1000)");
	$how eq 'one message' ? $f->send_query(join ';', @words) : $f->send_pipeline(@words);
	my $r = $f->result(30);
	ok(acknowledged($r) && @{ $r->{rows} } == 1000 && "@{ $r->{tags} }" eq 'BEGIN INSERT 0 1 COMMIT SELECT 1000', "$how: all is told while it is open")
		or diag explain $r->{tags};
}
$g->open('2 s');
$s = client();
ok(acknowledged($s->query("INSERT INTO t (v) VALUES ('told')")), 'a session that has written and was told');
my $r = $s->query('SELECT wait_closed()', 60);
ok(acknowledged($r) && $r->{rows}[0][0] == 1, 'goes on to read when the gate has closed') or diag explain $r;
ok(acknowledged($s->query('BEGIN; SELECT 1; COMMIT')), 'also in a transaction');
$s->write_raw(RegentClient::message('P', "p\0SELECT 1\0" . pack('n', 0)) . RegentClient::message('S', ''));
ok(acknowledged($s->result), 'and prepares a statement without running it');

# ------------------------------------------------ override

is(RegentClient::sqlstate(client(user => 'watchdog')->query("SELECT regent.override_gate('x', '1 min')")), '42501',
	'only a superuser overrides the gate');
sql("SELECT regent.override_gate('test', '2 s')");
is($g->status('gate, writable'), 'override|t', 'overridden');
ok(acknowledged($s->query("INSERT INTO t (v) VALUES ('override')")), 'writes pass');
$g->wait_closed(20);
refused('after the override', $s->query("INSERT INTO t (v) VALUES ('override')"), qr/lease has run out/);
like(RegentCluster::slurp($n->{log}), qr/gate of node "n1" is overridden for 2\.0 s by "postgres": test/, 'it is logged');

# ------------------------------------------------ started by hand

$g->open;
sql("SELECT regent.override_gate('test', '1 h')");
$c->stop_server('n1');
$c->start_server('n1');
is($g->status('gate, writable, leader, lease_left_ms'), 'closed|f|n1|', 'a server started by hand is closed, and has no override');
refused('after a start by hand', client()->query("INSERT INTO t (v) VALUES ('hand')"), qr/no lease since it was started/);
$g->grant;
is($g->status('gate'), 'open', 'a new grant opens it');
$c->kill_server('n1');
wait_until(sub { !$c->processes('n1') }, 20, 'the server to be gone');
$c->start_server('n1');
is($g->status('gate'), 'closed', 'so it is after a crash');

# one process crashes: shared memory is new, and so is the lease
$g->grant;
my $victim = client();
kill('KILL', $victim->{pid});
wait_until(sub { ($c->sql('n1', 'SELECT gate FROM regent.node_status()', may_fail => 1) // '') eq 'closed' }, 30,
	'the server to come back closed after a crashed process');
pass('closed after a crashed process');

# off
$c->sql('n1', 'ALTER SYSTEM SET regent.gate = off');
$c->sql('n1', 'SELECT pg_reload_conf()');
wait_until(sub { $g->status('gate') eq 'off' }, 20, 'regent.gate = off');
ok(acknowledged(client()->query("INSERT INTO t (v) VALUES ('off')")), 'regent.gate = off lets writes pass');

$c->finish;
$other->finish;
done_testing();
