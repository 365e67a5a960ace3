# Adding and removing in sync, under load, with something killed each time: regentd in
# the middle of a clone and right after its journal has the order, the helper, a clone
# that had just got its name.  One command goes on, and no acknowledged row is lost.
use strict;
use warnings;
use RegentCluster qw(wait_until slurp spew);
use Test::More;

my $c = RegentCluster->new(nodes => 3, regent => { durability => 'sync', quorum => 1 });
$c->up;
my $d = $c->dir;
my $preload = "$RegentCluster::top/test/bench/build/crash_at_sync.so";
my $dir = "$d/n4/data";
$c->{nodes}{n4} = { name => 'n4', host => '127.0.0.1', dir => $dir, log => "$d/n4/server.log", port => RegentCluster::free_port() };
mkdir "$d/n4";
push @{ $c->{names} }, 'n4';
$c->write_node_conf;
# its settings are its own, not the leader's
(my $node_conf = slurp("$d/node.conf")) =~ s{^\[n4\]$}{[n4]\nconfig_file = $d/n4/own.conf}m;
spew("$d/node.conf", $node_conf);
spew("$d/n4/own.conf", $c->server_conf('n4') . "work_mem = '7MB'\n");
my @n4 = ('n4', '--host', '127.0.0.1', '--port', $c->node('n4')->{port}, '--ssh-port', $c->{ssh_port});
my $load = $c->start_load;

sub wait_voters
{
	my ($voters, $what) = @_;
	wait_until(sub { ($c->sql('n1', 'SELECT voters FROM regent.rule ORDER BY term DESC, seq DESC LIMIT 1', may_fail => 1) // '') eq $voters },
		90 * $RegentCluster::slow, $what, sub { $c->regentd_log_tail });
	pass($what);
}

sub wait_jobs
{
	my ($what) = @_;
	return $c->wait_status(sub { !grep { $_->{state} =~ /queued|running/ } @{ $_[0]{jobs} } }, 90, $what);
}

# The shell whose base backup is under way.
sub cloning
{
	return map { /^\s*(\d+)/ ? $1 : () } grep { /pg_basebackup/ && /\Q$dir.regent-new\E/ } `ps -eo ppid,args`;
}

# regentd dies while the directory is copied
my ($rc, $out, $err) = $c->regent('node', 'add', @n4, '--no-wait');
is($rc, 0, 'a node is being added') or diag("$out$err");
wait_until(sub { -d "$dir.regent-new" }, 60, 'the clone to begin', sub { $c->regentd_log_tail });
$c->kill9_regentd;
$c->start_regentd;
wait_voters('{n1,n2,n3,n4}', 'regentd killed in the clone: the restarted one goes on, n4 votes');
$c->wait_node('n4', 'ok');
is($c->sql('n4', 'SHOW work_mem'), '7MB', 'with the settings of its config_file');
my $s = wait_jobs('the job to end');
is((grep { $_->{kind} eq 'add' } @{ $s->{jobs} })[0]{state}, 'done', 'the job is done');
for my $name (qw(n1 n4))
{
	wait_until(sub { $c->sql($name, 'SHOW synchronous_standby_names') =~ /\bn4\b/ }, 60 * $RegentCluster::slow, "synchronous_standby_names of $name to name n4");
}
pass('synchronous_standby_names has the new node, on the leader and on itself');

# regentd dies right after the order to remove is on its disk
$c->stop_regentd;
my $armed = "$d/armed";
$c->start_regentd(env => { LD_PRELOAD => $preload, CRASH_AT_SYNC => 1, CRASH_WHEN => 'after', CRASH_ARMED => $armed });
$c->wait_ready;
spew($armed, '');
$c->regent('node', 'remove', 'n4', '--no-wait');
wait_until(sub { $c->regentd_has_ended }, 30, 'regentd to die');
unlink $armed;
$c->start_regentd;
wait_voters('{n1,n2,n3}', 'regentd killed with the order in its journal: the restarted one carries it out');
wait_jobs('the removal to end');
like(slurp($c->{conf}), qr/\[node n4\]/, 'its section is still there, for the command had nobody to ask');
is($c->sql('n4', 'SHOW primary_conninfo'), '', 'it was told');

# the helper dies in the middle: tried again by itself
$c->stop_server('n4');
rename($dir, "$dir.aside") or die "can't rename $dir: $!";
($rc, $out, $err) = $c->regent('node', 'add', 'n4', '--no-wait');
is($rc, 0, 'added again, its section was there') or diag("$out$err");
my @helpers;
wait_until(sub { @helpers = cloning() }, 60, 'the clone to begin', sub { $c->regentd_log_tail });
kill('KILL', @helpers);
wait_voters('{n1,n2,n3,n4}', 'the helper killed: cloned by another try');
wait_jobs('the job to end');
ok(!-e "$dir.regent-new" && !-e "$dir.regent-clone", 'nothing is left beside the directory');
ok(-e "$dir.aside/PG_VERSION", 'and what was not ours is where it was');
$c->wait_node('n4', 'ok');

# the clone had its name already, and nobody had started it
($rc, $out, $err) = $c->regent('node', 'remove', 'n4', '--keep-section');
is($rc, 0, 'removed, its section kept') or diag("$out$err" . $c->regentd_log_tail);
like(slurp($c->{conf}), qr/\[node n4\]/, 'it is');
$c->stop_server('n4');
my ($device, $inode) = (stat $dir)[ 0, 1 ];
spew("$dir.regent-clone", "$device:$inode\n");
($rc, $out, $err) = $c->regent('node', 'add', 'n4');
is($rc, 0, 'a clone that has its name is only started') or diag("$out$err" . $c->regentd_log_tail);
is((stat $dir)[1], $inode, 'it is the same directory');

# a dead node: it has to be declared lost
$c->stop_server('n3', 'immediate');
$c->wait_status(sub { RegentCluster::node_of($_[0], 'n3')->{state} eq 'dead' }, 60, 'n3 to be dead');
wait_until(sub { ($c->sql('n1', 'SELECT left_out FROM regent.rule ORDER BY term DESC, seq DESC LIMIT 1') // '') eq '{n3}' }, 60,
	'n3 to be left out', sub { $c->regentd_log_tail });
($rc, $out, $err) = $c->regent('node', 'remove', 'n3');
is($rc, 1, 'a dead node that was left out can not hear of its removal');
like($out . $err, qr/n3 does not stream.*--lost/s, 'what to say is said');
($rc, $out, $err) = $c->regent('--json', 'node', 'remove', 'n3', '--lost');
is($rc, 1, '--lost asks, and with --json needs --yes');
($rc, $out, $err) = $c->regent('node', 'remove', 'n3', '--lost', '--yes');
is($rc, 0, 'declared lost') or diag("$out$err" . $c->regentd_log_tail);
wait_voters('{n1,n2,n4}', 'it has no vote any more');

my $sum = $c->stop_load($load);
cmp_ok(scalar @{ $sum->{ids} }, '>', 0, scalar @{ $sum->{ids} } . ' rows were acknowledged');
$c->wait_caught_up('n1', 'n2', 'n4');
is($c->missing_rows($_, $sum->{ids}), 0, "none is missing on $_") for qw(n1 n2 n4);
done_testing();
