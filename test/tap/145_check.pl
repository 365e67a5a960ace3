# `regent check` on real servers: nothing to complain of at first, then what would
# keep a failover from working, each with its fix, before it is needed.
use strict;
use warnings;
use RegentCluster qw(wait_until);
use Test::More;

my $c = RegentCluster->new(nodes => 2);
$c->up;

my ($rc, $out, $err) = $c->regent('check');
is($rc, 0, 'a healthy cluster') or diag("$out$err");
like($out, qr/^ok +n2 +it can replicate from n1, and be rewound from there/m, 'each node reaches the others as the replication user');
like($out, qr/^ok +n2 +a copy of n1 has a place for each of its parts$/m, 'and could be copied');
like($out, qr/^ok +n1 +a copy of n2 has a place for each of its parts$/m, 'the primary, too, should it be a standby some day');

# a standby that never says what it has flushed counts for no commit and no lease (attack F11)
$c->sql('n2', "ALTER SYSTEM SET wal_receiver_status_interval = 0");
$c->sql('n2', 'SELECT pg_reload_conf()');
wait_until(sub { $c->sql('n2', 'SHOW wal_receiver_status_interval') eq '0' }, 10, 'wal_receiver_status_interval = 0');
($rc, $out, $err) = $c->regent('check');
is($rc, 1, 'a standby that reports no flushes');
like($out . $err, qr/n2.*wal_receiver_status_interval.*never says what it has flushed/s, 'is named');
$c->sql('n2', 'ALTER SYSTEM RESET wal_receiver_status_interval');
$c->sql('n2', 'SELECT pg_reload_conf()');
wait_until(sub { $c->sql('n2', 'SHOW wal_receiver_status_interval') eq '1s' }, 10, 'the old value');

# pg_rewind logs in to a database, which is another line in pg_hba.conf than replication
my $hba = RegentCluster::slurp($c->node('n1')->{dir} . '/pg_hba.conf');
RegentCluster::spew($c->node('n1')->{dir} . '/pg_hba.conf', "host postgres regent_replication 0.0.0.0/0 reject\n$hba");
$c->sql('n1', 'SELECT pg_reload_conf()');
wait_until(sub { ($rc, $out, $err) = $c->regent('check'); $out =~ /warning +n2 +it could not be rewound/ }, 20, 'a warning');
is($rc, 0, 'no rewind, only copies: a warning');
like($out, qr/n2 +it could not be rewound from n1, only copied: .*fix: pg_hba\.conf of every node: host postgres regent_replication/, 'with the fix');
RegentCluster::spew($c->node('n1')->{dir} . '/pg_hba.conf', "host replication regent_replication 0.0.0.0/0 reject\n$hba");
$c->sql('n1', 'SELECT pg_reload_conf()');
wait_until(sub { ($rc, $out, $err) = $c->regent('check'); $out =~ /FAILED +n2 +it could not replicate from n1/ }, 20, 'a failure');
is($rc, 1, 'neither: that fails');
RegentCluster::spew($c->node('n1')->{dir} . '/pg_hba.conf', $hba);
$c->sql('n1', 'SELECT pg_reload_conf()');

# what only costs time is a warning
$c->sql('n2', 'ALTER SYSTEM SET wal_retrieve_retry_interval = 30000');
$c->sql('n2', 'SELECT pg_reload_conf()');
wait_until(sub { $c->sql('n2', 'SHOW wal_retrieve_retry_interval') eq '30s' }, 10, 'wal_retrieve_retry_interval = 30s');
($rc, $out, $err) = $c->regent('check');
is($rc, 0, 'a standby that sleeps long: a warning only');
like($out . $err, qr/n2.*wal_retrieve_retry_interval.*may sleep so long/s, 'is named');
$c->sql('n2', 'ALTER SYSTEM RESET wal_retrieve_retry_interval');

# ---- a copy needs a place for each tablespace; the fix that is told makes a rebuild possible ----

my $d = $c->dir;
my $space = "$d/n2/space";

# node.conf with these lines in n2's section
sub configure
{
	my (@lines) = @_;
	$c->write_node_conf;
	RegentCluster::spew("$d/node.conf", RegentCluster::slurp("$d/node.conf") =~ s/^\[n2\]$/join "\n", '[n2]', @lines/mer);
}

$c->stop_regentd;
$c->stop_server('n2');
mkdir "$d/n1/space", 0700;
$c->sql('n1', "CREATE TABLESPACE \"far away\" LOCATION '$d/n1/space'");
($rc, $out, $err) = $c->regent('check');
like($out, qr{^FAILED +n2 +it could not be copied from n1: \Q$d\E/n1/space, where tablespace far away of n1 would go, is not empty; fix: .*section \[n2\] of \Q$d\E/node\.conf: tablespace = far away=PATH$}m,
	'a node that is down lacks a tablespace, whose path is taken on its host') or diag("$out$err");
configure("tablespace = far away=$d/n2/disk/space");
($rc, $out, $err) = $c->regent('check');
like($out, qr{^FAILED +n2 +it could not be copied from n1: .*can't write in \Q$d\E/n2/disk; fix: make \Q$d\E/n2/disk on this host .*tablespace = far away=PATH$}m,
	'no directory above the place') or diag("$out$err");
configure("tablespace = far away=$space");
($rc, $out, $err) = $c->regent('check');
like($out, qr/^ok +n2 +a copy of n1 has a place for each of its parts$/m, 'done as told') or diag("$out$err");

# one that is to be made anew
my $dir = $c->node('n2')->{dir};
rename $dir, "$dir.away";
configure("tablespace = far away=$space", "wal_directory = $d/n1");
($rc, $out, $err) = $c->regent('check');
like($out, qr{^FAILED +n2 +it could not be copied from n1: \Q$d\E/n1, where pg_wal would go, is not empty; fix: .*node\.conf: wal_directory = PATH$}m,
	'no data directory yet: the places of node.conf count, that of pg_wal, too') or diag("$out$err");
configure("tablespace = far away=$space");
($rc, $out, $err) = $c->regent('check');
like($out, qr/^ok +n2 +a copy of n1 has a place for each of its parts$/m, 'and can be told to be good');
ok(!-e $dir && !-e "$dir.regent-new" && !-e "$dir.regent-places" && !-e $space, 'nothing was made');
rename "$dir.away", $dir;

$c->start_regentd;
$c->wait_node('n2', 'dead');
($rc, $out, $err) = $c->regent('rebuild', 'n2', '--method', 'copy', '--wait');
is($rc, 0, 'the rebuild that was told of succeeds') or diag("$out$err" . $c->regentd_log_tail);
$c->wait_node('n2', 'ok');
my $oid = $c->sql('n2', "SELECT oid FROM pg_tablespace WHERE spcname = 'far away'");
is(readlink("$dir/pg_tblspc/$oid"), $space, 'with its tablespace where node.conf says');
mkdir "$space.regent-b";
RegentCluster::spew("$space.regent-b/precious", 'x');
($rc, $out, $err) = $c->regent('check');
is($rc, 0, 'what would be in the way of the next copy') or diag("$out$err");
like($out, qr{^warning +n2 +it could not be copied from n1: \Q$space\E\.regent-b, where tablespace far away of n1 would go, is not empty; fix: look at it and move it away$}m,
	'is a warning while the node is well');
is(RegentCluster::slurp("$space.regent-b/precious"), 'x', 'and is not touched');
done_testing();
