# A delta copy of what does not lie in the data directory: a tablespace, and pg_wal behind
# a link.  Each part goes beside where the node has it, only what differs is
# transferred, and whatever ends in the middle or is refused leaves the old directory and
# the old tablespace as they were.
use strict;
use warnings;
use RegentCluster qw(answer_of wait_until slurp spew run_command);
use Test::More;
use Time::HiRes qw(sleep);

my $c = RegentCluster->new(nodes => 2, no_sshd => 1, servers => 0,
	conf => "regent.gate = off\nfsync = off\nautovacuum = off\n");
my $d = $c->dir;
my $bindir = $RegentCluster::bindir;
my $old = $c->node('n2')->{dir};
my @source = ('n1', '127.0.0.1', $c->node('n1')->{port}, 'regent_replication', "$d/pgpass", 'regent_n2');
my ($space, $wal) = ("$d/n2/disk/space", "$d/n2/disk/wal");
my @ns = ('unshare', '--user', '--map-current-user', '--mount', '--keep-caps');
my $has_ns = system("@ns true 2>/dev/null") == 0;
my $command = join ' ', "$RegentCluster::top/scripts/regent-node", '-c', "$d/node.conf", 'n2', 'delta', 1, @source;

sub helper
{
	my (@words) = @_;
	my ($rc, $out, $err) = $c->helper('n2', @words);
	return answer_of($out . $err);
}

sub fingerprint
{
	return join ' ', map { `cd '$_' && find . -printf '%p %y %m %l\n' -type f -exec sha256sum {} + | sort | sha256sum` } $old, $space, $wal;
}

sub copiers { return map { /^\s*(\d+)/ ? $1 : () } grep { /regent-copy --source/ && /\Q$old\E/ && !/regent-node/ } `ps -eo pid,args` }

sub left_behind { return grep { -e || -l } (map { "$old.$_" } qw(regent-new regent-copy regent-places)), glob("$d/n2/disk/*.regent-b") }

sub refused
{
	my ($error, $like, $what, $a) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is($a->{error}, $error, "refused: $what") or diag($a->{all});
	like("$a->{detail}; $a->{hint}", $like, 'and what to do is said');
}

sub far_rows { return $c->sql($_[0], "SELECT count(*), md5(string_agg(t::text, ',' ORDER BY id)) FROM in_far t") }

# ---- the leader has a tablespace, the standby its own copy of it, both elsewhere ----

$c->make_primary('n1');
$c->make_standby('n2');
$c->init_cluster;
$c->wait_caught_up('n1', 'n2');
$c->stop_server('n2');
mkdir $_, 0700 for "$d/n1/space", "$d/n2/disk", $space;
$c->sql('n1', "CREATE TABLESPACE far LOCATION '$d/n1/space'");
my $oid = $c->sql('n1', "SELECT oid FROM pg_tablespace WHERE spcname = 'far'");
$c->sql('n1', "CREATE TABLE in_far TABLESPACE far AS SELECT i AS id, 0 AS n, repeat(md5(i::text), 6) AS pad FROM generate_series(1, 150000) i");
$c->sql('n1', 'CREATE UNLOGGED TABLE unlogged TABLESPACE far AS SELECT generate_series(1, 10000) AS id');
$c->sql('n1', 'CREATE TABLE near AS SELECT generate_series(1, 50000) AS id');
$c->sql('n1', 'VACUUM FREEZE');
$c->sql('n1', 'CHECKPOINT');
my $far_bytes = $c->sql('n1', "SELECT pg_relation_size('in_far')");
my ($version) = map { m{([^/]+)$} } glob("$d/n1/space/PG_*");
RegentCluster::must([ 'cp', '-a', "$d/n1/space/$version", $space ]);
symlink $space, "$old/pg_tblspc/$oid";
rename "$old/pg_wal", $wal;
symlink $wal, "$old/pg_wal";
spew("$space/$version/left", 'x' x 9000);
$c->sql('n1', 'UPDATE in_far SET n = n + 1 WHERE id % 1000 = 0');
spew("$old/regent.lock", '', 0600);    # which the swap would make
my $print = fingerprint();

# ---- refusals ----

mkdir "$space.regent-b";
spew("$space.regent-b/precious", 'x');
refused('not_empty', qr/\Q$space.regent-b\E.* is not empty.*move it away/, 'something stands where the tablespace would go', helper('delta', 1, @source));
is(slurp("$space.regent-b/precious"), 'x', 'it is not touched');
unlink "$space.regent-b/precious";
rmdir "$space.regent-b";
symlink "$d/n1", "$wal.regent-b";
refused('symlink', qr/\Q$wal.regent-b\E.* is a symbolic link to/, 'a link where the WAL would go', helper('delta', 1, @source));
unlink "$wal.regent-b";
mkdir "$d/n1/second", 0700;
$c->sql('n1', "CREATE TABLESPACE second LOCATION '$d/n1/second'");
refused('not_empty', qr/\Q$d\E\/n1\/second/, "a tablespace that is new on the leader, whose path is taken here", helper('delta', 1, @source));
$c->sql('n1', 'DROP TABLESPACE second');
$c->sql('n1', 'REVOKE CONNECT ON DATABASE postgres FROM PUBLIC; REVOKE CONNECT ON DATABASE postgres FROM regent_replication');
refused('tablespaces', qr/can't be asked for/, 'the tablespaces of the leader are not told', helper('delta', 1, @source));
$c->sql('n1', 'GRANT CONNECT ON DATABASE postgres TO PUBLIC');
SKIP:
{
	skip 'no user namespaces here', 4 if !$has_ns;
	refused('mount_point', qr/\Q$space\E is a mount point/, 'a mount point', answer_of(`@ns sh -c 'mount --bind $space $space && $command' 2>&1`));
	# on the tablespace's disk 30 MB are free, on the data directory's much
	my ($used) = split /\s/, `du -sk $d/n2/disk`;
	my $size = $used + 30_000;
	refused('no_space', qr/on the disk of .*\.regent-b.*free some space/i, 'no space on the disk of the tablespace',
		answer_of(`@ns sh -c 'cp -a $d/n2/disk $d/n2/away && mount -t tmpfs -o size=${size}k tmpfs $d/n2/disk && cp -a $d/n2/away/. $d/n2/disk/ && $command; rm -rf $d/n2/away' 2>&1`));
}
is(join(' ', left_behind()), '', 'nothing is left behind by refusals');
is(fingerprint(), $print, 'the old directory, its tablespace and its WAL are as they were');

# ---- killed at 10, 50 and 99 percent: the program, then the helper ----

sub reached
{
	my ($percent) = @_;
	my $log = slurp("$old.regent-copy-log") // '';
	return $log =~ /^progress copying /m if $percent == 99;    # but WAL, all is there
	return grep { my ($bytes, $total) = /^progress comparing (\d+) ([1-9]\d*)/; defined $total && $bytes >= $total * $percent / 100 } split /\n/, $log;
}

for my $percent (10, 50, 99)
{
	for my $who ('regent-copy', 'the helper')
	{
		my $log = "$d/delta.out";
		unlink $log, "$old.regent-copy-log";    # one that was killed has left its own
		my $pid = $c->spawn([ split / /, "$command 8000" ], $log);
		# the backup has begun: WAL from here on has to be copied, and that much takes two seconds
		wait_until(sub { reached(0) }, 60, 'the comparison to begin', sub { slurp($log) });
		$c->sql('n1', "SELECT pg_logical_emit_message(false, 'bulk', repeat('x', 1000000)) FROM generate_series(1, 16)") if $percent == 99;
		wait_until(sub { reached($percent) }, 60, "$percent percent", sub { slurp($log) });
		ok(-e "$space.regent-b/$version" && -l "$old.regent-new/pg_tblspc/$oid", "$percent percent: the tablespace is being copied");
		kill 'KILL', $who eq 'the helper' ? $pid : copiers();
		RegentCluster::reap($pid, 60);
		wait_until(sub { !copiers() }, 20, 'regent-copy to end');
		is(fingerprint(), $print, "$who killed at $percent percent: all is as it was");
		ok(!-e "$old.regent-copy", 'not marked as complete');
		ok(helper('discard')->{ok}, 'discard') if $who eq 'the helper' && $percent != 50;
		is(join(' ', left_behind()), '', 'nothing is left of it') if $who ne 'the helper' || $percent != 50;
	}
}

# ---- the whole way; what a killed helper has left is no obstacle ----

# Until the server streams on what was copied.
sub wait_streaming
{
	wait_until(sub { ($c->sql('n1', "SELECT state FROM pg_stat_replication WHERE application_name = 'n2'", may_fail => 1) // '') eq 'streaming' }, 30, 'n2 to stream',
		sub { slurp($c->node('n2')->{log}) });
	$c->wait_caught_up('n1', 'n2');
}

my $a = helper('delta', 1, @source);
ok($a->{ok}, 'delta') or diag($a->{all});
is(fingerprint(), $print, 'all is as it was');
cmp_ok($a->{reused}, '>', 0.9 * $far_bytes, "of the tablespace only what differs was transferred: $a->{transferred} of $a->{bytes} bytes");
cmp_ok($a->{transferred}, '>', 0, 'and that was');
is(readlink("$old.regent-new/pg_tblspc/$oid"), "$space.regent-b", 'the copy has a tablespace of its own');
is(readlink("$old.regent-new/pg_wal"), "$wal.regent-b", 'and a WAL directory');
ok(!-e "$old.regent-new/tablespace_map", 'no map leads to the places of the leader');
ok(!-e "$space.regent-b/$version/left", 'what the leader has not is not in the copy');
$a = helper('swap', 1, @source);
ok($a->{ok}, 'swap') or diag($a->{all});
wait_streaming();
is(far_rows('n2'), far_rows('n1'), 'it has the rows of the tablespace');
is($c->sql('n2', "SELECT pg_tablespace_location($oid)"), "$space.regent-b", 'in its own place');
ok(helper('unswap')->{ok}, 'and back');
is(fingerprint(), $print, 'all is as it was');
is(join(' ', left_behind()), '', 'nothing is left of the copy');

# One that is new on the leader goes where node.conf says.
mkdir "$d/n1/third", 0700;
$c->sql('n1', "CREATE TABLESPACE third LOCATION '$d/n1/third'");
$c->sql('n1', 'CREATE TABLE in_third TABLESPACE third AS SELECT generate_series(1, 1000) AS id');
spew("$d/node.conf", slurp("$d/node.conf") =~ s{^\[n2\]$}{[n2]\ntablespace = third=$d/n2/disk/third}mr);

# Again, for good; then with the standby running, back to the first names.
for my $round (1, 2)
{
	my ($here, $away) = $round == 1 ? ('.regent-b', '') : ('', '.regent-b');
	$c->sql('n1', "UPDATE in_far SET n = n + 1 WHERE id % 1000 = $round");
	$a = helper('delta', 1, @source);
	ok($a->{ok}, "round $round: delta") or diag($a->{all});
	cmp_ok($a->{reused}, '>', 0.9 * $far_bytes, "kept: $a->{reused} of $a->{bytes} bytes");
	$c->sql('n1', "UPDATE in_far SET n = n + 1 WHERE id % 1000 = 3");
	ok(helper('swap', 1, @source)->{ok}, 'swap');
	wait_streaming();
	ok(helper('settle')->{ok}, 'settle');
	is(readlink("$old/pg_tblspc/$oid"), "$space$here", "the tablespace has one name");
	ok(!-e "$space$away/$version" && !-e "$wal$away", 'what was under the other one is gone');
	is(far_rows('n2'), far_rows('n1'), 'the same rows');
	is($c->sql('n2', "SELECT pg_tablespace_location(oid) FROM pg_tablespace WHERE spcname = 'third'"), "$d/n2/disk/third", 'and the new tablespace is where node.conf put it') if $round == 1;
	is($c->sql('n2', 'SELECT count(*) FROM in_third'), '1000', 'with its rows');
}
$c->sql('n2', 'SELECT pg_promote()');
is($c->sql('n2', 'SELECT count(*) FROM unlogged'), '0', 'promoted: its unlogged table is there, and empty');
done_testing();
