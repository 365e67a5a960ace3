# What must be told before it is needed: wrong host key, wrong key, no helper,
# a node of another cluster, RSA keys; and a second watchdog on one state directory.
# Without SSH a leader is not fenced but outlived: only when its lease has run out.
use strict;
use warnings;
use RegentCluster qw(wait_until spew slurp);
use Test::More;
use Time::HiRes qw(time);

my $budget = 10;
my $c = RegentCluster->new(nodes => 2, regent => { lease => '2s', restart_budget => "${budget}s" });
$c->up;
my $d = $c->dir;

# Whether ready (by the lease's end) or not: what is in the way of a fence is told.
sub told_like
{
	my ($pattern, $what) = @_;
	my $s = $c->wait_status(sub { $_[0]{auto_failover}{reason} =~ $pattern }, 30, $what);
	like($s->{auto_failover}{reason}, $pattern, $what);
}

sub restart_regentd
{
	$c->stop_regentd;
	$c->start_regentd;
}

# a host key that changed is never accepted
my $known = slurp("$d/known_hosts");
RegentCluster::must([ 'ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-f', "$d/other" ]);
my ($type, $key) = split / /, slurp("$d/other.pub");
(my $changed = $known) =~ s/ssh-ed25519 \S+/$type $key/g;
spew("$d/known_hosts", $changed);
restart_regentd();
told_like(qr/n1 could not be fenced.*host key/i, 'changed host key');
like(slurp("$d/regentd.log"), qr/ssh-keygen/, 'the log names the command that mends it');

# an unknown host
spew("$d/known_hosts", "");
restart_regentd();
told_like(qr/n1 could not be fenced.*host key/i, 'unknown host key');
spew("$d/known_hosts", $known);
restart_regentd();
$c->wait_status(sub { $_[0]{auto_failover}{ready} && $_[0]{auto_failover}{reason} !~ /fenced/ }, 30, 'SSH to be ready again');
pass('mended: nothing is in the way');

# the server does not take our key
my $authorized = slurp("$d/authorized_keys");
spew("$d/authorized_keys", "", 0600);
restart_regentd();
told_like(qr/n1 could not be fenced/, 'key not authorized');

# a crash without any way to prove it: nobody is promoted at once, people are told
$c->kill_primary('n1');
my $s = $c->wait_status(sub { $_[0]{diagnosis} eq 'unproven' }, 20, 'diagnosis unproven');
pass("crash without SSH: $s->{diagnosis_text}");
is($c->sql('n2', 'SELECT pg_is_in_recovery()'), 't', 'n2 was not promoted');
spew("$d/authorized_keys", $authorized, 0600);
$s = $c->wait_failover('n1', 60);
is($s->{leader}, 'n2', 'SSH is back: the death is proven, n2 leads');
$c->wait_node('n1', 'ok', 120);

# ... nor ever: waited for, as long as a restart may take, then outlived
spew("$d/authorized_keys", "", 0600);
restart_regentd();
told_like(qr/n2 could not be fenced/, 'key not authorized, again');
$c->kill_primary('n2');
my $t = time();
$s = $c->wait_failover('n2', 90);
is("$s->{leader} $s->{last_failover}{diagnosis}", 'n1 overdue', 'SSH does not come back: the lease of n2 has run out, n1 leads');
cmp_ok(time() - $t, '>=', $budget - 1, 'after restart_budget');
spew("$d/authorized_keys", $authorized, 0600);
restart_regentd();
$c->start_server('n2');    # as systemd would
$c->wait_node('n2', 'ok', 120);
is($c->sql('n2', 'SELECT pg_is_in_recovery()'), 't', 'the old leader is brought back as a standby');

# no helper on the node
my $moved = $authorized;
$moved =~ s{command="\S+/regent-node}{command="/nonexistent/regent-node};
spew("$d/authorized_keys", $moved, 0600);
restart_regentd();
told_like(qr/regent-node is not installed|helper has not answered/, 'no helper');
spew("$d/authorized_keys", $authorized, 0600);
restart_regentd();
$c->wait_ready;

# RSA: where libssh2 signs with SHA-1 only that is said by --check, no sshd is weakened for it
RegentCluster::must([ 'ssh-keygen', '-q', '-t', 'rsa', '-b', '2048', '-N', '', '-f', "$d/id_rsa" ]);
my $good = slurp($c->{conf});
(my $rsa = $good) =~ s/^ssh_key = .*/ssh_key = $d\/id_rsa/m;
spew("$d/rsa.conf", $rsa, 0600);
my ($rc, $out, $err) = RegentCluster::run_command([ "$RegentCluster::build/regentd", '-c', "$d/rsa.conf", '--check' ]);
if (system('pkg-config', '--atleast-version=1.11', 'libssh2') != 0)
{
	isnt($rc, 0, '--check refuses an RSA key');
	like($out . $err, qr/RSA.*ed25519/s, 'and says what to use');
}
else
{
	is($rc, 0, '--check takes an RSA key') or diag($out . $err);
	my ($public) = slurp("$d/id_rsa.pub") =~ /^(ssh-rsa \S+)/;
	spew("$d/authorized_keys", $authorized =~ s/ssh-ed25519 \S+/$public/r, 0600);
	spew($c->{conf}, $rsa, 0600);
	restart_regentd();
	$c->wait_ready;
	pass('and it is used');
	spew("$d/authorized_keys", $authorized, 0600);
	spew($c->{conf}, $good, 0600);
	restart_regentd();
	$c->wait_ready;
}

# a state directory has one watchdog
($rc, $out, $err) = RegentCluster::run_command([ "$RegentCluster::build/regentd", '-c', $c->{conf} ], timeout => 10);
is($rc, 1, 'a second regentd on the same state directory is refused');

# another watchdog (another state directory) is not obeyed (F1, F06)
(my $second = $good) =~ s/^state_directory = .*/state_directory = $d\/state2/m;
$second =~ s/^control_socket = .*/control_socket = $d\/run\/second.sock/m;
mkdir "$d/state2", 0700;
spew("$d/second.conf", $second, 0600);
my $pid = $c->spawn([ "$RegentCluster::build/regentd", '-c', "$d/second.conf" ], "$d/second.log");
$c->{pids}{second} = $pid;
wait_until(sub {
	my ($r, $o) = RegentCluster::run_command([ "$RegentCluster::build/regent", '-c', "$d/second.conf", 'status' ]);
	$o =~ /NO, because/ && $o =~ /watchdog/i }, 20, 'the second watchdog to say that it is not obeyed');
pass('another watchdog is refused');
is($c->status->{leader}, 'n1', 'the first one goes on');
kill 'TERM', $pid;
RegentCluster::reap($pid, 10);
delete $c->{pids}{second};

# a server of another cluster at a node's address (F06)
$c->stop_server('n2');
rename($c->node('n2')->{dir}, $c->node('n2')->{dir} . '.mine');
$c->make_primary('n2');
$s = $c->wait_status(sub { RegentCluster::node_of($_[0], 'n2')->{reason} =~ /system identifier|extension|regent/ }, 20, 'n2 to be named');
like(RegentCluster::node_of($s, 'n2')->{reason}, qr/system identifier|does not exist/, 'the foreign server is named: ' . RegentCluster::node_of($s, 'n2')->{reason});
is($s->{leader}, 'n1', 'the cluster is undisturbed');
is($c->sql('n2', 'SELECT pg_is_in_recovery()'), 'f', 'the foreign server was left alone');
done_testing();
