# A new node whose tablespace and pg_wal lie elsewhere: where node.conf puts them.  A place
# has to be absent or empty and to have room; whatever else stands there is refused
# untouched, and a clone that is killed takes nothing along but what it has made.
use strict;
use warnings;
use RegentCluster qw(answer_of wait_until slurp spew);
use RegentCopy qw(by_title hold_copy size_of syncfs_env);
use Test::More;

my $c = RegentCluster->new(nodes => 1, conf => "fsync = off\nautovacuum = off\nwal_keep_size = 128MB\n");
my $d = $c->dir;
my $bindir = $RegentCluster::bindir;
my $dir = "$d/n2/data";
my ($space, $wal) = ("$d/n2/disk/space", "$d/n2/disk/wal");
my @ns = ('unshare', '--user', '--map-current-user', '--mount', '--keep-caps');
my $has_ns = system("@ns true 2>/dev/null") == 0;

$c->init_cluster;
$c->start_regentd;
$c->wait_status(sub { ($_[0]{nodes}[0]{gate} // '') eq 'open' }, 30, 'n1 to lead');
mkdir $_, 0700 for "$d/n1/space", "$d/n2", "$d/n2/disk";
$c->sql('n1', "CREATE TABLESPACE \"far away\" LOCATION '$d/n1/space'");
$c->sql('n1', 'CREATE TABLE in_far TABLESPACE "far away" AS SELECT i AS id, repeat(md5(i::text), 6) AS pad FROM generate_series(1, 200000) i');
$c->sql('n1', 'CHECKPOINT');
my $oid = $c->sql('n1', "SELECT oid FROM pg_tablespace WHERE spcname = 'far away'");
my ($version) = map { m{([^/]+)$} } glob("$d/n1/space/PG_*");

my $port = RegentCluster::free_port();
$c->{nodes}{n2} = { name => 'n2', host => '127.0.0.1', dir => $dir, log => "$d/n2/server.log", port => $port };
push @{ $c->{names} }, 'n2';
my @add = ('n2', '--host', '127.0.0.1', '--port', $port, '--ssh-port', $c->{ssh_port});
my @words = ('clone', 1, '127.0.0.1', $port, 'n1', '127.0.0.1', $c->node('n1')->{port}, 'regent_replication', "$d/pgpass", 'regent_n2');
my $command = join ' ', "$RegentCluster::top/scripts/regent-node", '-c', "$d/node.conf", 'n2', @words;

# node.conf with these lines in the new node's section
sub configure
{
	my (@lines) = @_;
	$c->write_node_conf;
	spew("$d/node.conf", slurp("$d/node.conf") =~ s/^\[n2\]$/join "\n", '[n2]', @lines/mer);
}

sub clone { my ($rc, $out, $err) = $c->helper('n2', @words); return answer_of($out . $err) }

sub refused
{
	my ($error, $like, $what, $a) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is($a->{error}, $error, "refused: $what") or diag($a->{all});
	like(($a->{detail} // '') . '; ' . ($a->{hint} // ''), $like, 'and what to do is said');
	ok(!-e $dir && !-e "$dir.regent-new" && !-e "$dir.regent-places", 'nothing is left');
}

# ---- refusals ----

configure();
refused('not_empty', qr/\Q$d\E\/n1\/space, where tablespace far away of n1 would go, is not empty.*tablespace = far away=PATH/, 'the path of the leader is not free here', clone());
configure("tablespace = fra away=$space");
refused('config', qr/maps tablespace fra away.*far away \Q$d\E\/n1\/space/, 'a name that the leader has not', clone());
configure('tablespace = far away');
refused('config', qr/tablespace must be NAME=PATH/, 'a line that is no mapping', clone());

my @places = ("tablespace = far away=$space/", "wal_directory = $wal");
configure(@places);
mkdir $space, 0700;
spew("$space/precious", 'x');
refused('not_empty', qr/\Q$space\E, where tablespace far away of n1 would go, is not empty/, 'something stands there', clone());
is(slurp("$space/precious"), 'x', 'it is not touched');
unlink "$space/precious";
rmdir $space;
symlink "$d/n1", $wal;
refused('symlink', qr/\Q$wal\E, where pg_wal would go, is a symbolic link to \Q$d\E\/n1/, 'a link', clone());
unlink $wal;
configure("tablespace = far away=$d/n2/nowhere/space");
refused('no_permission', qr/make \Q$d\E\/n2\/nowhere on this host/, 'no directory above', clone());
configure("tablespace = far away=$space", "wal_directory = $space");
refused('unsafe_directory', qr/where pg_wal would go, lies in \Q$space\E/, 'two parts in one place', clone());
configure("tablespace = far away=$dir.regent-new");
refused('unsafe_directory', qr/lies in/, 'where the copy itself goes', clone());
configure("tablespace = far away=/space");
refused('unsafe_directory', qr/directly under/, 'directly under /', clone());
configure(@places);
SKIP:
{
	skip 'no user namespaces here', 6 if !$has_ns;
	mkdir $space, 0700;
	refused('mount_point', qr/\Q$space\E is a mount point.*one level below/, 'a mount point', answer_of(`@ns sh -c 'mount --bind $d/n2/disk $space && $command' 2>&1`));
	refused('no_space', qr/needs \d+ bytes on the disk of \Q$space\E, \d+ are free/, 'no space on the disk of the tablespace',
		answer_of(`@ns sh -c 'mount -t tmpfs -o size=100m tmpfs $d/n2/disk && $command' 2>&1`));
	rmdir $space;
}
is($c->sql('n1', "SELECT count(*) FROM pg_replication_slots WHERE slot_name = 'regent_n2'"), '0', 'a refusal has made no slot on the leader');

# ---- the disk fails when all has been copied ----

spew("$d/synced.fail", '');
my $failing = $c->spawn([ split / /, $command ], "$d/failing.out", env => { syncfs_env("$d/synced") });
RegentCluster::reap($failing, 60);
my $told = answer_of(slurp("$d/failing.out"));
is($told->{error}, 'not_synced', 'not on disk: not cloned') or diag($told->{all});
like(slurp("$d/synced") // '', qr/^\Q$_\E$/m, "$_ was to be synced") for "$dir.regent-new", $space, $wal;
ok(!-e $dir && !-e "$dir.regent-new" && !-e "$dir.regent-clone" && !-e $space && !-e $wal, 'nothing is left of it');

# ---- killed at 10, 50 and 99 percent ----

sub copiers { return map { /^\s*(\d+)/ ? $1 : () } grep { /pg_basebackup/ && /\Q$dir.regent-new\E/ } `ps -eo pid,args` }

# n1's, by its title
sub walsender { return by_title($c, 'n1', qr/walsender regent_replication .*(?:$_[0])/) }

my $all = size_of("$d/n1/space", "$d/n1/data/base", "$d/n1/data/global");
for my $percent (10, 50, 99)
{
	my $log = "$d/clone.out";
	unlink $log;
	mkdir $space, 0750 if $percent == 10;    # one that was there before stays
	my $pid;
	my $walsender = hold_copy($c, 'n1', $percent, $all, sub { $pid = $c->spawn([ split / /, $command ], $log); return $log }, $space, "$dir.regent-new/base", "$dir.regent-new/global");
	ok(-e "$space/$version" && -d $wal, "$percent percent: the tablespace is being copied");
	kill 'KILL', $percent == 10 ? copiers() : $pid;
	RegentCluster::reap($pid, 30);
	kill 'CONT', $walsender;
	wait_until(sub { !copiers() }, 10, 'pg_basebackup to end');
	# stopped in the next round while it drops its slot, one of these would hold up all others
	wait_until(sub { !walsender(qr/BASE_BACKUP|sending backup|START_REPLICATION|streaming/) }, 10, 'its sessions to end');
	ok(!-e $dir, 'killed: the node has no directory');
	next if $percent != 10;
	is(answer_of(slurp($log))->{error}, 'copy_failed', 'told') or diag(slurp($log));
	ok(-d $space && !glob("$space/*"), 'the directory that was there before is there, and empty');
	is((stat $space)[2] & 07777, 0750, 'as it was');
	ok(!-e $wal && !-e "$dir.regent-new" && !-e "$dir.regent-places", 'nothing else is left');
	rmdir $space;
}

# ---- and the next one goes on, through regentd ----

ok(-e "$space/$version", 'what a killed one has left');
my ($rc, $out, $err) = $c->regent('node', 'add', @add);
is($rc, 0, 'is no obstacle: a node with a tablespace') or diag("$out$err" . $c->regentd_log_tail);
$c->wait_node('n2', 'ok');
$c->wait_caught_up('n1', 'n2');
is(readlink("$dir/pg_tblspc/$oid"), $space, 'its tablespace is where node.conf says');
is(readlink("$dir/pg_wal"), $wal, 'its pg_wal, too');
is($c->sql('n2', 'SELECT count(*), sum(hashtext(pad)) FROM in_far'), $c->sql('n1', 'SELECT count(*), sum(hashtext(pad)) FROM in_far'), 'with all rows');
ok(!-e "$dir.regent-places" && !-e "$dir.regent-clone" && !-e "$dir.regent-new", 'nothing is left beside it');

# it can be rebuilt by each method, and the tablespace changes its place
($rc, $out, $err) = $c->regent('rebuild', 'n2', '--method', 'delta', '--force', '--wait');
is($rc, 0, 'rebuilt by a delta copy') or diag("$out$err" . $c->regentd_log_tail);
is(readlink("$dir/pg_tblspc/$oid"), "$space.regent-b", 'into the place beside');
ok(!-e "$space/$version", 'and the other one is free');
$c->sql('n1', "INSERT INTO in_far VALUES (0, 'last')");
$c->wait_caught_up('n1', 'n2');
is($c->sql('n2', "SELECT pad FROM in_far WHERE id = 0"), 'last', 'it streams');

# ---- a failover; what the old leader has too much in its tablespace is rewound where it is ----

$c->wait_ready;
kill 'STOP', walsender(qr/streaming/);
$c->sql('n1', "UPDATE in_far SET pad = 'lost' WHERE id % 100 = 1; CREATE TABLE lost TABLESPACE \"far away\" AS SELECT generate_series(1, 1000) AS id; CHECKPOINT");
my $file = $c->sql('n1', "SELECT pg_relation_filepath('lost')");
ok(-s "$d/n1/data/$file", 'the old leader has a file in its tablespace that n2 never had');
kill 'KILL', $c->processes('n1');
$c->wait_failover('n1');
$c->sql('n2', "UPDATE in_far SET pad = 'kept' WHERE id % 100 = 2");
$c->wait_node('n1', 'ok');
my $done = $c->wait_event('rebuild_end', 60, qr/of n1 is done/);
like($done->{message}, qr/by rewind/, 'the old leader is back by a rewind');
$c->wait_caught_up('n2', 'n1');
is(readlink("$d/n1/data/pg_tblspc/$oid"), "$d/n1/space", 'its tablespace is where it was');
is($c->sql('n1', 'SELECT count(*), sum(hashtext(pad)) FROM in_far'), $c->sql('n2', 'SELECT count(*), sum(hashtext(pad)) FROM in_far'), 'with the rows of the leader');
is($c->sql('n1', "SELECT count(*) FROM in_far WHERE pad = 'lost'"), '0', 'and without those that were given up');
ok(!-e "$d/n1/data/$file", 'nor the file');
done_testing();
