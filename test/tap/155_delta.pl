# The delta copy: a new directory out of an old one and a running server, of which
# only what differs is transferred.  What the old directory lacks, has too much
# or has damaged does not matter; the old directory is never touched; whatever ends
# in the middle leaves it as it was and says what happened.
use strict;
use warnings;
use RegentCluster qw(wait_until slurp spew run_command free_port);
use JSON::PP ();
use Test::More;
use Time::HiRes qw(sleep time);

my $c = RegentCluster->new(nodes => 2, no_sshd => 1, servers => 0,
	conf => "regent.gate = off\nfsync = off\nautovacuum = off\n");
my $bindir = $RegentCluster::bindir;
my $primary = $c->node('n1');
my $old = $c->node('n2')->{dir};
my @source = ('n1', '127.0.0.1', $primary->{port}, 'regent_replication', $c->dir . '/pgpass', 'regent_n2');

$c->make_primary('n1');
$c->stop_server('n1');
RegentCluster::must([ "$bindir/pg_checksums", '--enable', '--no-sync', '-D', $primary->{dir} ]);
$c->start_server('n1');
$c->make_standby('n2');
$c->init_cluster;

sub helper
{
	my (@words) = @_;
	my ($rc, $out, $err) = $c->helper('n2', @words);
	my @lines = grep { /^\{/ } split /\n/, $out;
	my $answer = eval { JSON::PP::decode_json($lines[-1]) } // {};
	$answer->{all} = "$rc $out$err";
	$answer->{progress} = [ map { JSON::PP::decode_json($_) } grep { /"progress"/ } @lines ];
	return $answer;
}

# Started here, waited for by finish_helper.
sub start_helper
{
	my (@words) = @_;
	my $log = $c->dir . '/delta.out';
	unlink $log;
	return { log => $log, pid => $c->spawn([ "$RegentCluster::top/scripts/regent-node", '-c', $c->dir . '/node.conf', 'n2', @words ], $log) };
}

sub finish_helper
{
	my ($h) = @_;
	RegentCluster::reap($h->{pid}, 60);
	my @lines = grep { /^\{/ } split /\n/, slurp($h->{log}) // '';
	my $answer = eval { JSON::PP::decode_json($lines[-1]) } // {};
	$answer->{all} = slurp($h->{log});
	return $answer;
}

sub fingerprint { return `cd '$old' && find . -printf '%p %y %m %l\n' -type f -exec sha256sum {} + | sort | sha256sum` }

# The copies that run in our directory, by program.
sub copiers { return map { /^\s*(\d+)/ ? $1 : () } grep { /regent-copy --source/ && /\Q$old\E/ && !/regent-node/ } `ps -eo pid,args` }

# Every row of every table of a database, in order.
sub rows
{
	my ($name, $database) = @_;
	my $in = "dbname=$database";
	my @tables = split /\n/, $c->sql($name, "SELECT oid::regclass FROM pg_class WHERE relkind = 'r' AND relpersistence = 'p' AND relnamespace = 'public'::regnamespace ORDER BY 1", conninfo => $in);
	return join "\n", map { "$_ " . $c->sql($name, "SELECT count(*), md5(string_agg(t::text, ',' ORDER BY t::text)) FROM $_ t", conninfo => $in) } @tables;
}

sub relation { my ($name, $table) = @_; return $c->node($name)->{dir} . '/' . $c->sql('n1', "SELECT pg_relation_filepath('$table')") }

sub patch
{
	my ($file, $at, $text) = @_;
	open(my $fh, '+<', $file) or die "$file: $!";
	seek $fh, $at, 0;
	print $fh $text;
	close $fh;
}

sub update { $c->sql('n1', "UPDATE big SET n = n + 1 WHERE id % 400 = $_[0]") }

# ---- two servers whose directories differ in every way ----

$c->sql('n1', 'CREATE EXTENSION amcheck');
$c->sql('n1', "CREATE TABLE $_->[0] AS SELECT i AS id, 0 AS n, repeat(md5(i::text), 6) AS pad FROM generate_series(1, $_->[1]) i")
	for [ 'big', 60000 ], [ 'longer', 20000 ], [ 'damaged', 20000 ], [ 'same', 150000 ];
$c->sql('n1', "CREATE TABLE $_ AS SELECT i AS id, repeat(md5(i::text), 6) AS pad FROM generate_series(1, 20000) i") for qw(shorter dropped emptied);
$c->sql('n1', 'CREATE INDEX ON big (id); CREATE UNLOGGED TABLE unlogged AS SELECT generate_series(1, 10000) AS id');
$c->sql('n1', 'CREATE DATABASE gone');
$c->sql('n1', 'CREATE TABLE t AS SELECT generate_series(1, 1000) AS id', conninfo => 'dbname=gone');
RegentCluster::must([ "$bindir/pgbench", '-i', '-q', '-s', 1, $c->conninfo('n1') ]);
$c->sql('n1', 'CHECKPOINT');
$c->sql('n1', 'VACUUM FREEZE');    # or every page that has been read here would differ by its hint bits
$c->wait_caught_up('n1', 'n2');
$c->stop_server('n2');

my $damaged = relation('n2', 'damaged');
my $unchanged = 0.9 * -s relation('n2', 'same');
my $missing = relation('n2', 'same') . '_fsm';
$c->sql('n1', 'DELETE FROM shorter WHERE id > 5000');
$c->sql('n1', 'VACUUM shorter');
$c->sql('n1', 'TRUNCATE emptied; DROP TABLE dropped; INSERT INTO longer SELECT i, 1, md5(i::text) FROM generate_series(1, 20000) i');
$c->sql('n1', 'DROP DATABASE gone');
$c->sql('n1', 'CREATE DATABASE fresh');
$c->sql('n1', 'CREATE TABLE f AS SELECT generate_series(1, 5000) AS id', conninfo => 'dbname=fresh');
update(0);
patch($damaged, 5 * 8192 + 100, 'a bad disk');
patch($damaged, 7 * 8192, "\0" x 8192);
unlink $missing;
spew("$old/base/1/77777", 'x' x 30000);
mkdir "$old/base/66666", 0700;
symlink '/nowhere', "$old/base/1/77778";
my $print = fingerprint();

# ---- refusals: nothing is touched ----

my $a = helper('delta', 1, @source[ 0 .. 2 ], 'nobody', @source[ 4, 5 ]);
is($a->{error}, 'source', 'refused: a source that does not let us in') or diag($a->{all});
$c->sql('n1', 'REVOKE EXECUTE ON FUNCTION regent.copy_compare(bytea) FROM regent_replication');
$a = helper('delta', 1, @source);
is($a->{error}, 'not_possible', 'refused: functions are not granted') or diag($a->{all});
like("$a->{detail} $a->{hint}", qr/permission denied.*copy_compare.*regent init/s, 'and what to do is said');
$c->init_cluster;
spew("$old/PG_VERSION", "14\n", 0600);
$a = helper('delta', 1, @source);
is($a->{error}, 'not_possible', 'refused: another major version') or diag($a->{all});
spew("$old/PG_VERSION", "$RegentCluster::major\n", 0600);
$a = helper('delta', 1, @source, '0x');
is($a->{error}, 'usage', 'refused: a rate that is no number');
ok(!-e "$old.regent-new" && !-e "$old.regent-copy", 'nothing is left behind by refusals');
is(fingerprint(), $print, 'and the old directory is as it was');

# ---- interrupted ----

# Slow enough to be hit in the middle, whatever the machine.
sub start_slow
{
	my $h = start_helper('delta', 1, @source, 8000);
	wait_until(sub { my @got = copiers(); @got ? $got[0] : undef }, 20, 'the copy to run', sub { slurp($h->{log}) });
	return $h;
}

for my $point ([ 'at its start', sub { 1 } ], [ 'when files are written', sub { -e "$old.regent-new/base/1" } ],
	[ 'in the middle', sub { (slurp($_[0]) // '') =~ /"comparing","bytes":[1-9]/ } ])
{
	my $h = start_slow();
	wait_until(sub { $point->[1]->($h->{log}) }, 20, $point->[0], sub { slurp($h->{log}) });
	kill 'KILL', copiers();
	$a = finish_helper($h);
	is($a->{error}, 'copy_failed', "regent-copy killed $point->[0]: told") or diag($a->{all});
	ok(!-e "$old.regent-new" && !-e "$old.regent-copy" && fingerprint() eq $print, 'and nothing is left of it, the old directory is as it was');
}

my $h = start_slow();
kill 'KILL', $h->{pid};
RegentCluster::reap($h->{pid}, 10);
wait_until(sub { !copiers() }, 20, 'regent-copy to end with the helper that was killed');
ok(!-e "$old.regent-copy", 'helper killed: no mark that the copy is complete');
is($c->sql('n1', "SELECT count(*) FROM pg_replication_slots WHERE temporary"), '0', 'no slot is left on the source') if
	wait_until(sub { $c->sql('n1', "SELECT count(*) FROM pg_stat_activity WHERE application_name ~ '_n2' AND backend_type = 'client backend'") eq '0' }, 20, 'the source to notice');
is(fingerprint(), $print, 'the old directory is as it was');

$h = start_slow();
wait_until(sub { (slurp($h->{log}) // '') =~ /"comparing","bytes":[1-9]/ }, 20, 'the middle', sub { slurp($h->{log}) });
$c->stop_server('n1', 'immediate');
$a = finish_helper($h);
is($a->{error}, 'copy_failed', 'source stopped in the middle: told') or diag($a->{all});
like($a->{detail}, qr/connection to the source was lost|terminating connection/, 'with the reason');
is(fingerprint(), $print, 'the old directory is as it was');
$c->start_server('n1');

# a page that is damaged on the source must not come over quietly
my $page = relation('n1', 'same');
my $good = substr(slurp($page), 3 * 8192 + 500, 4);
patch($page, 3 * 8192 + 500, 'evil');
$a = helper('delta', 1, @source);
is($a->{error}, 'copy_failed', 'a damaged page on the source: told') or diag($a->{all});
like($a->{detail}, qr/checksum of block 3 in file "base/, 'with file and block');
patch($page, 3 * 8192 + 500, $good);

# ---- the whole way, under load ----

my $load = $c->spawn([ "$bindir/pgbench", '-n', '-c', 2, '-T', 300, $c->conninfo('n1') ], $c->dir . '/pgbench.log');
$a = helper('delta', 1, @source, 20000);
ok($a->{ok}, 'delta under load') or diag($a->{all});
is(fingerprint(), $print, 'the old directory is as it was');
cmp_ok($a->{reused}, '>', $unchanged, "what did not change was kept: $a->{reused} of $a->{bytes} bytes");
is($a->{transferred} + $a->{reused}, $a->{bytes}, 'the rest was kept');
my %phases = map { $_->{phase} => 1 } @{ $a->{progress} };
ok($phases{comparing} && $phases{copying}, 'progress is told');
ok(!grep({ $_->{bytes} > $_->{total} } @{ $a->{progress} }), 'and never above the total');
my %reached;
ok(!grep({ my $back = $_->{bytes} < ($reached{ $_->{phase} } // 0); $reached{ $_->{phase} } = $_->{bytes}; $back } @{ $a->{progress} }), 'and never goes back');
ok(!-e "$old.regent-new/base/1/77777" && !-e "$old.regent-new/base/66666" && !-l "$old.regent-new/base/1/77778", 'what the source has not is not in the copy');
ok(-e "$old.regent-copy", 'it is marked as complete');
$a = helper('swap', 1, @source);
ok($a->{ok}, 'swap') or diag($a->{all});
wait_until(sub { ($c->sql('n1', "SELECT state FROM pg_stat_replication WHERE application_name = 'n2'", may_fail => 1) // '') eq 'streaming' }, 30, 'n2 to stream',
	sub { slurp($c->node('n2')->{log}) });
pass('the copy streams on its slot');
ok(helper('settle')->{ok}, 'settle');

# Again, with the standby running and replaying while it is compared.
update(1);
$a = helper('delta', 1, @source);
ok($a->{ok}, 'delta of a standby that runs') or diag($a->{all});
is($c->sql('n2', 'SELECT pg_is_in_recovery()'), 't', 'it ran all the time');
cmp_ok($a->{reused}, '>', $unchanged, "what did not change was kept: $a->{reused} of $a->{bytes} bytes");
$a = helper('swap', 1, @source);
ok($a->{ok}, 'swap') or diag($a->{all});
RegentCluster::reap($load, 0);    # SIGKILL of a load that has nothing left to show
$c->sql('n1', "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = 'pgbench'");
$c->wait_caught_up('n1', 'n2');
ok(helper('settle')->{ok}, 'settle');
is(rows('n2', $_), rows('n1', $_), "the same rows in $_") for qw(postgres fresh);
is($c->sql('n2', "SELECT count(*) FROM (SELECT bt_index_check(indexrelid, true) FROM pg_index i JOIN pg_class c ON c.oid = indexrelid JOIN pg_am a ON a.oid = c.relam WHERE amname = 'btree' AND relpersistence = 'p') x"),
	$c->sql('n1', "SELECT count(*) FROM pg_index i JOIN pg_class c ON c.oid = indexrelid JOIN pg_am a ON a.oid = c.relam WHERE amname = 'btree' AND relpersistence = 'p'"),
	'amcheck finds its indexes sound');
$c->stop_server('n2');
my ($rc, $out, $err) = run_command([ "$bindir/pg_checksums", '--check', '-D', $old ]);
is($rc, 0, 'every page has its checksum: the bad disk was not carried over') or diag("$out$err");

# It is a whole server: promoted, it has its unlogged table, empty.
$c->start_server('n2');
$c->sql('n2', 'SELECT pg_promote()');
is($c->sql('n2', 'SELECT count(*) FROM unlogged'), '0', 'promoted: the unlogged table is there, and empty');
done_testing();
