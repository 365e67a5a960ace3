# What must be told before it is needed: wrong host key, wrong key, no helper,
# a node of another cluster, RSA keys; and a second watchdog on one state directory.
use strict;
use warnings;
use RegentCluster qw(wait_until spew slurp);
use Test::More;

my $c = RegentCluster->new(nodes => 2);
$c->up;
my $d = $c->dir;

sub not_ready_like
{
	my ($pattern, $what) = @_;
	my $s = $c->wait_status(sub { !$_[0]{auto_failover}{ready} && $_[0]{auto_failover}{reason} =~ $pattern }, 30, $what);
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
not_ready_like(qr/n1 could not be fenced.*host key/i, 'changed host key');
like(slurp("$d/regentd.log"), qr/ssh-keygen/, 'the log names the command that mends it');

# an unknown host
spew("$d/known_hosts", "");
restart_regentd();
not_ready_like(qr/n1 could not be fenced.*host key/i, 'unknown host key');
spew("$d/known_hosts", $known);
restart_regentd();
$c->wait_ready;
pass('mended: ready again');

# the server does not take our key
my $authorized = slurp("$d/authorized_keys");
spew("$d/authorized_keys", "", 0600);
restart_regentd();
not_ready_like(qr/n1 could not be fenced/, 'key not authorized');

# a crash without any way to prove it: nobody is promoted, people are told
$c->kill_primary('n1');
my $s = $c->wait_status(sub { $_[0]{diagnosis} eq 'unproven' }, 20, 'diagnosis unproven');
pass("crash without SSH: $s->{diagnosis_text}");
is($c->sql('n2', 'SELECT pg_is_in_recovery()'), 't', 'n2 was not promoted');
spew("$d/authorized_keys", $authorized, 0600);
$s = $c->wait_failover('n1', 60);
is($s->{leader}, 'n2', 'SSH is back: the death is proven, n2 leads');
$c->wait_node('n1', 'ok', 120);

# no helper on the node
my $moved = $authorized;
$moved =~ s{command="\S+/regent-node}{command="/nonexistent/regent-node};
spew("$d/authorized_keys", $moved, 0600);
restart_regentd();
not_ready_like(qr/regent-node is not installed|helper has not answered/, 'no helper');
spew("$d/authorized_keys", $authorized, 0600);
restart_regentd();
$c->wait_ready;

# RSA: said by --check, no sshd is weakened for it
RegentCluster::must([ 'ssh-keygen', '-q', '-t', 'rsa', '-b', '2048', '-N', '', '-f', "$d/id_rsa" ]);
my $good = slurp($c->{conf});
(my $rsa = $good) =~ s/^ssh_key = .*/ssh_key = $d\/id_rsa/m;
spew("$d/rsa.conf", $rsa, 0600);
my ($rc, $out, $err) = RegentCluster::run_command([ "$RegentCluster::build/regentd", '-c', "$d/rsa.conf", '--check' ]);
isnt($rc, 0, '--check refuses an RSA key');
like($out . $err, qr/RSA.*ed25519/s, 'and says what to use');

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
is($c->status->{leader}, 'n2', 'the first one goes on');
kill 'TERM', $pid;
RegentCluster::reap($pid, 10);
delete $c->{pids}{second};

# a server of another cluster at a node's address (F06)
$c->stop_server('n1');
rename($c->node('n1')->{dir}, $c->node('n1')->{dir} . '.mine');
$c->make_primary('n1');
$s = $c->wait_status(sub { RegentCluster::node_of($_[0], 'n1')->{reason} =~ /system identifier|extension|regent/ }, 20, 'n1 to be named');
like(RegentCluster::node_of($s, 'n1')->{reason}, qr/system identifier|does not exist/, 'the foreign server is named: ' . RegentCluster::node_of($s, 'n1')->{reason});
is($s->{leader}, 'n2', 'the cluster is undisturbed');
is($c->sql('n1', 'SELECT pg_is_in_recovery()'), 'f', 'the foreign server was left alone');
done_testing();
